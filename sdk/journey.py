"""The stages of a long command: which one runs, how long each takes, and how long the rest will take."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal

State = Literal["waiting", "running", "done", "kept"]
SHARE_THAT_TELLS = 0.1  # of a stage, from which on its time tells how fast this machine is


@dataclass(frozen=True)
class Stage:
    """One stage of a command that takes minutes.

    Attributes:
        name: What is done.
        expected: Seconds that it takes on two idle cores with AVX2.
        state: "waiting", "running", "done", or "kept": its result was there from an earlier start.
        share: Share of the stage that is done, 0..1.
        seconds: Seconds that it has taken so far.
        result: What came out of it, in a few words; "" until it ends.
    """

    name: str
    expected: float
    state: State = "waiting"
    share: float = 0.0
    seconds: float = 0.0
    result: str = ""


class Journey:
    """Runs the stages one after the other and tells a listener what has changed.

    Args:
        stages: Expected seconds of each stage by its name, in the order in which they run.
        listener: Called with all stages whenever one of them has changed.
        clock: Returns monotonic seconds.
    """

    def __init__(
        self,
        stages: Mapping[str, float],
        listener: Callable[[Sequence[Stage]], None] = lambda stages: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stages = {name: Stage(name, expected) for name, expected in stages.items()}
        self._listener, self._clock = listener, clock

    @property
    def stages(self) -> tuple[Stage, ...]:
        """All stages as they are now."""
        return tuple(self._stages.values())

    @contextmanager
    def stage(self, name: str) -> Iterator[StageRun]:
        """Runs a stage for as long as the `with` block lasts; yields the object that tells its progress."""
        run = StageRun(self, name, self._clock())
        self._change(name, state="running")
        yield run
        kept = self._stages[name].state == "kept"
        self._change(name, state="kept" if kept else "done", share=1.0, seconds=self._clock() - run.started)

    def _change(self, name: str, **values: object) -> None:
        self._stages[name] = replace(self._stages[name], **values)  # type: ignore[arg-type]
        self._listener(self.stages)


@dataclass(frozen=True)
class StageRun:
    """A stage that runs.

    Attributes:
        journey: The journey that it is a part of.
        name: Name of the stage.
        started: Time at which it started, in seconds of the journey's clock.
    """

    journey: Journey
    name: str
    started: float

    def update(self, done: float, total: float) -> None:
        """Says how many of the steps of the stage are done."""
        share = min(1.0, done / total) if total else 0.0
        self.journey._change(self.name, share=share, seconds=self.journey._clock() - self.started)

    def result(self, text: str) -> None:
        """Says in a few words what came out of the stage."""
        self.journey._change(self.name, result=text)

    def kept(self) -> None:
        """Says that the result of the stage was there from an earlier start."""
        self.journey._change(self.name, state="kept")


def seconds_left(stages: Sequence[Stage]) -> float:
    """Returns how long the stages that are not done will take, at the pace of this machine so far."""
    return pace(stages) * sum(
        stage.expected * (1 - stage.share) for stage in stages if stage.state in ("waiting", "running")
    )


def pace(stages: Sequence[Stage]) -> float:
    """Returns the time that stages take here, against what was expected of them; 1 until that can be told.

    It is that of the stages that are done and of the running one, once a tenth of it is done: before that, its time is
    mostly that of the start.
    """
    told = [
        stage
        for stage in stages
        if stage.state == "done" or (stage.state == "running" and stage.share >= SHARE_THAT_TELLS)
    ]
    taken = sum(stage.seconds for stage in told)
    expected = sum(stage.expected * stage.share for stage in told)
    return taken / expected if expected > 1 else 1.0
