"""The one-frame buffer between a camera's thread and its reader."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from allweather.runtimes.cameras.latest_frame import LatestFrame
from allweather.runtimes.types import Frame


@given(st.lists(st.booleans(), max_size=50))
@pytest.mark.slow
def test_it_holds_the_newest_frame_and_counts_the_replaced_ones(puts: list[bool]) -> None:
    buffer, newest, replaced, index = LatestFrame(), None, 0, 0
    for put in puts:
        if put:
            replaced += newest is not None
            newest = Frame(np.zeros((4, 6, 3), np.uint8), index, 0.0)
            buffer.put(newest)
            index += 1
        elif newest is not None:
            assert buffer.take(0) is newest
            newest = None
    assert buffer.superseded == replaced
    with buffer:
        pass
    assert (buffer.ended, buffer.error) == (True, None)
    assert buffer.take(9) is newest
    assert buffer.take(9) is None
