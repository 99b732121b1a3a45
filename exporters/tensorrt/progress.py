"""Progress of a TensorRT build, and a way to stop it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass
class _Phase:
    """A part of the build, as the library reports it.

    Attributes:
        start: Share of the whole build at which it starts, 0..1.
        width: Its own share of the whole build, 0..1.
        steps: Number of its steps.
        done: Number of steps that are done.
    """

    start: float
    width: float
    steps: int
    done: int = 0


class BuildProgress:
    """Follows a build through the library's progress monitor; its attributes may be read from any thread.

    The library calls the monitor from C++, where a Python exception ends the process: nothing in it raises.

    Args:
        trt: The module `tensorrt` or `tensorrt_rtx`.

    Attributes:
        share: Share of the build that is done, 0..1; it never decreases.
        step: Name of the current step.
        cancelled: Set it to True to stop the build at its next step.
        monitor: The monitor to give to the builder; None if the library has no monitor, so that the progress is
            unknown.
    """

    def __init__(self, trt: Any) -> None:
        self.share, self.step, self.cancelled = 0.0, "", False
        self._phases: dict[str, _Phase] = {}
        self.monitor = _monitor(trt, self) if hasattr(trt, "IProgressMonitor") else None

    def begin(self, name: str, parent: str | None, steps: int) -> None:
        """Starts a phase, which is one step of its parent."""
        above = self._phases.get(parent or "")
        width = above.width / above.steps if above else 1.0
        start = above.start + above.width * min(above.done, above.steps - 1) / above.steps if above else 0.0
        self._phases[name] = _Phase(start, width, max(1, steps))
        self.step = name

    def advance(self, name: str, step: int) -> bool:
        """Records that the steps 0 to `step` of a phase are done; returns whether to go on."""
        phase = self._phases.get(name)
        if phase:
            phase.done = min(step + 1, phase.steps)
            self.share = max(self.share, phase.start + phase.width * phase.done / phase.steps)
        return not self.cancelled

    def end(self, name: str) -> None:
        """Ends a phase."""
        phase = self._phases.pop(name, None)
        if phase:
            self.share = max(self.share, phase.start + phase.width)


def _monitor(trt: Any, progress: BuildProgress) -> Any:
    class Monitor(trt.IProgressMonitor):  # type: ignore[misc] # the library is known only at run time
        """Hands the library's progress on to `progress`."""

        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)  # super() does not work with the C++ bindings

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            """Called by the library when a phase starts."""
            progress.begin(phase_name, parent_phase, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            """Called by the library when a step is done; returns whether to go on."""
            return progress.advance(phase_name, step)

        def phase_finish(self, phase_name: str) -> None:
            """Called by the library when a phase ends."""
            progress.end(phase_name)

    return Monitor()
