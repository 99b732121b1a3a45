"""Drawing a decision onto its frame."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from decisions import decision
from hypothesis import given, settings
from hypothesis import strategies as st

from allweather.runtimes.region import Region
from allweather.runtimes.sinks.annotate import annotate


@given(
    height=st.integers(1, 300), width=st.integers(1, 300), label=st.text(st.characters(), max_size=60),
    confidence=st.floats(0, 1), late=st.booleans(), count=st.integers(0, 3),
)  # fmt: skip
@settings(max_examples=40, deadline=None)
def test_any_frame_can_be_drawn_on_and_is_not_changed(
    height: int, width: int, label: str, confidence: float, late: bool, count: int
) -> None:
    image = np.full((height, width, 3), 128, np.uint8)
    region = Region(0, 0, width, height)
    drawn = annotate(image, [replace(decision(label=label, confidence=confidence, late=late), region=region)] * count)
    assert drawn.dtype == np.uint8
    assert drawn.shape[0] % height == drawn.shape[1] % width == 0
    assert drawn.shape[0] // height == drawn.shape[1] // width
    assert (image == 128).all()


@pytest.mark.parametrize(("height", "width"), [(360, 640), (640, 360), (1080, 1920)])
def test_the_panel_stays_in_its_corner(height: int, width: int) -> None:
    image = np.full((height, width, 3), 128, np.uint8)
    drawn = annotate(image, [decision(label="a long label " * 20, late=True)])
    assert drawn.shape == image.shape
    changed = np.argwhere((drawn != image).any(-1))
    short = min(height, width)
    assert changed.min() > 0
    assert changed[:, 0].max() < 0.25 * short
    assert changed[:, 1].max() < 0.85 * short


def test_lateness_confidence_and_region_are_drawn() -> None:
    image = np.full((360, 640, 3), 128, np.uint8)
    plain = annotate(image, [decision()])
    assert (annotate(image, [decision()]) == plain).all()
    assert (annotate(image, [decision(late=True)]) != plain).any()
    assert (annotate(image, [decision(confidence=0.2)]) != plain).any()
    marked = annotate(image, [replace(decision(), region=Region(300, 200, 100, 50))])
    assert (marked[200, 300:400] != 128).any(-1).all()
    assert (marked[220:230, 320:380] == 128).all()


def test_an_image_that_is_read_only_or_not_contiguous_can_be_drawn_on() -> None:
    image = np.full((480, 640, 3), 128, np.uint8)
    image.setflags(write=False)
    assert annotate(image[::2, ::2], [decision()]).flags.c_contiguous
