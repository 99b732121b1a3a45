from __future__ import annotations

import hashlib
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allweather.trainers.corruptions.primitives.frost import (
    LARGE_SIDE,
    NUM_SHEETS,
    QUANTILES,
    SHEETS,
    SMALL_SIDE,
    crop_sheets,
)

CODE = """
import hashlib
import numpy as np
from allweather.trainers.corruptions.primitives.frost import crop_sheets
print(hashlib.sha256(crop_sheets(np.arange(5), np.zeros((5, 2)), 64, 64).tobytes()).hexdigest())
"""


def sheets(side: int) -> np.ndarray:
    """All sheets of a size, uncropped."""
    if side == LARGE_SIDE:
        return crop_sheets(np.arange(NUM_SHEETS), np.zeros((NUM_SHEETS, 2)), side, side)
    strips = [
        crop_sheets(np.arange(NUM_SHEETS), np.tile([0, left / side], (NUM_SHEETS, 1)), side, 95)
        for left in (0, 95, 190)
    ]
    return np.concatenate(strips, axis=2)[:, :, :side]


@pytest.mark.slow
def test_the_same_ice_in_every_process() -> None:
    here = crop_sheets(np.arange(5), np.zeros((5, 2)), 64, 64)
    other = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True).stdout
    assert other.strip() == hashlib.sha256(here.tobytes()).hexdigest()


@settings(max_examples=30, deadline=None)
@given(
    index=st.integers(0, NUM_SHEETS - 1),
    top=st.floats(0, 1, exclude_max=True),
    left=st.floats(0, 1, exclude_max=True),
    size=st.sampled_from([(16, 16), (32, 40), (90, 300), (224, 224), (700, 96)]),
)
@pytest.mark.slow
def test_a_crop_continues_at_the_opposite_edge_of_the_sheet(
    index: int, top: float, left: float, size: tuple[int, int]
) -> None:
    height, width = size
    side = SMALL_SIDE if min(size) < 96 else LARGE_SIDE
    crop = crop_sheets(np.array([index]), np.array([[top, left]]), height, width)[0]
    rows, columns = (int(top * side) + np.arange(height)) % side, (int(left * side) + np.arange(width)) % side
    np.testing.assert_array_equal(crop, sheets(side)[index][rows][:, columns])


@pytest.mark.parametrize("side", [SMALL_SIDE, LARGE_SIDE])
def test_the_colors_are_those_of_the_ramps(side: int) -> None:
    """A ramp says which share of a sheet is darker than each of its colors."""
    for index, (sheet, ice) in enumerate(zip(sheets(side), SHEETS, strict=True)):
        for color, ramp in enumerate((ice.red, ice.green, ice.blue)):
            channel = sheet[..., color]
            found = np.quantile(channel, QUANTILES[1:-1])
            assert np.abs(found - ramp[1:-1]).max() < 15, f"sheet {index}, channel {color}: {found}"
            expected = np.interp(np.linspace(0.01, 0.99, 99), QUANTILES, ramp).mean()
            assert abs(channel.mean() - expected) < 8, f"sheet {index}, channel {color}: mean {channel.mean():.1f}"


def test_sheets_differ() -> None:
    small = sheets(SMALL_SIDE).astype(float).reshape(NUM_SHEETS, -1)
    assert np.abs(np.corrcoef(small) - np.eye(NUM_SHEETS)).max() < 0.7


def test_ice_is_less_alike_the_farther_apart() -> None:
    for sheet in sheets(SMALL_SIDE).astype(float).mean(axis=3):
        differences = [np.abs(sheet - np.roll(sheet, step, axis=1)).mean() for step in (1, 4, 16)]
        assert differences == sorted(differences)
