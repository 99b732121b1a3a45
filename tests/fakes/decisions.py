"""Decisions and frames for tests of what follows a decision, such as sinks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from allweather.runtimes.sinks.base import Sink
from allweather.runtimes.types import Decision, Frame, StageTimes


def decision(
    index: int = 0, *, label: str = "stop", confidence: float = 0.9, late: bool = False,
    losses: tuple[float, ...] = (0.5,),
) -> Decision:  # fmt: skip
    """Returns a decision that took ten milliseconds."""
    return Decision(
        label, confidence, np.ones(1, np.float32), index, ("identity",), losses, StageTimes(0.001, 0, 0, 0, 0.01, 0),
        0.02, late, 3,
    )  # fmt: skip


def frame(index: int = 0, height: int = 240, width: int = 320) -> Frame:
    """Returns a frame whose gray value depends on its index."""
    return Frame(np.full((height, width, 3), index * 10 % 256, np.uint8), index, 0.0)


@contextmanager
def opened(sink: Sink) -> Iterator[Sink]:
    """Opens a sink while the `with` block lasts."""
    sink.open()
    try:
        yield sink
    finally:
        sink.close()
