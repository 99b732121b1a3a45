"""How far TensorRT has come with a build, and the wish to stop it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass
class _Phase:
    """A part of the build: where it begins and how much it is of the whole, in 0..1, and its number of steps."""

    begins: float
    width: float
    steps: int
    done: int = 0


class BuildProgress:
    """Follows a build through the library's monitor; what it holds may be read from any thread.

    The library calls the monitor from C++, where a Python error ends the process: nothing in it raises.

    Args:
        trt: the library's module.

    Attributes:
        share: done, in 0..1; never falls.
        step: name of what is done now.
        cancelled: set to stop the build at its next step.
        monitor: for the builder; None where the library has no such thing, and nothing is known of its progress.
    """

    def __init__(self, trt: Any) -> None:
        self.share, self.step, self.cancelled = 0.0, "", False
        self._phases: dict[str, _Phase] = {}
        self.monitor = _monitor(trt, self) if hasattr(trt, "IProgressMonitor") else None

    def begin(self, name: str, parent: str | None, steps: int) -> None:
        """A phase begins: it is one step of its parent."""
        above = self._phases.get(parent or "")
        width = above.width / above.steps if above else 1.0
        begins = above.begins + above.width * min(above.done, above.steps - 1) / above.steps if above else 0.0
        self._phases[name] = _Phase(begins, width, max(1, steps))
        self.step = name

    def advance(self, name: str, step: int) -> bool:
        """Steps 0 to `step` of a phase are done; returns whether to go on."""
        phase = self._phases.get(name)
        if phase:
            phase.done = min(step + 1, phase.steps)
            self.share = max(self.share, phase.begins + phase.width * phase.done / phase.steps)
        return not self.cancelled

    def end(self, name: str) -> None:
        """A phase is over."""
        phase = self._phases.pop(name, None)
        if phase:
            self.share = max(self.share, phase.begins + phase.width)


def _monitor(trt: Any, progress: BuildProgress) -> Any:
    class Monitor(trt.IProgressMonitor):  # type: ignore[misc] # the library is known only when it runs
        """What the library tells of its progress."""

        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)  # bindings of C++ do not do with super()

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            """A phase begins."""
            progress.begin(phase_name, parent_phase, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            """A step is done; returns whether to go on."""
            return progress.advance(phase_name, step)

        def phase_finish(self, phase_name: str) -> None:
            """A phase is over."""
            progress.end(phase_name)

    return Monitor()
