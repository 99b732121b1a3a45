"""A camera of the user's that numbers its frames anew after it was lost."""

from __future__ import annotations

import numpy as np
from decisions import decision

from allweather.runtimes.cameras.base import Camera
from allweather.runtimes.loop.deciders import FunctionDecider
from allweather.runtimes.loop.loop import decide_frames
from allweather.runtimes.types import Decision, Frame


class Restarted(Camera):
    """Gives two frames, and begins again."""

    def __init__(self) -> None:
        super().__init__()
        self._indices = iter((7, 9, 0, 1))

    def read(self) -> Frame | None:
        index = next(self._indices, None)
        return None if index is None else Frame(np.zeros((4, 4, 3), np.uint8), index, self.clock())


def test_no_frame_counts_as_skipped() -> None:
    skipped: list[int] = []

    def decide(frame: Frame, number: int) -> Decision:
        skipped.append(number)
        return decision(frame.index)

    list(decide_frames(Restarted(), FunctionDecider(decide)))
    assert skipped == [0, 1, 0, 0]
