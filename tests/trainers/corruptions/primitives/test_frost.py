from __future__ import annotations

import hashlib
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allweather.trainers.corruptions.primitives.frost import LARGE_SIDE, SHARES, SHEETS, SMALL_SIDE, TEXTURES, crops

CODE = """
import hashlib
import numpy as np
from allweather.trainers.corruptions.primitives.frost import crops
print(hashlib.sha256(crops(np.arange(5), np.zeros((5, 2)), 64, 64).tobytes()).hexdigest())
"""


def sheets(side: int) -> np.ndarray:
    """All textures whole."""
    if side == LARGE_SIDE:
        return crops(np.arange(TEXTURES), np.zeros((TEXTURES, 2)), side, side)
    strips = [crops(np.arange(TEXTURES), np.tile([0, left / side], (TEXTURES, 1)), side, 95) for left in (0, 95, 190)]
    return np.concatenate(strips, axis=2)[:, :, :side]


def test_the_same_ice_in_every_process() -> None:
    here = crops(np.arange(5), np.zeros((5, 2)), 64, 64)
    there = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True).stdout
    assert there.strip() == hashlib.sha256(here.tobytes()).hexdigest()


@settings(max_examples=30, deadline=None)
@given(
    texture=st.integers(0, TEXTURES - 1),
    top=st.floats(0, 1, exclude_max=True),
    left=st.floats(0, 1, exclude_max=True),
    size=st.sampled_from([(16, 16), (32, 40), (90, 300), (224, 224), (700, 96)]),
)
def test_a_crop_is_a_piece_of_the_sheet_gone_round(
    texture: int, top: float, left: float, size: tuple[int, int]
) -> None:
    height, width = size
    side = SMALL_SIDE if min(size) < 96 else LARGE_SIDE
    crop = crops(np.array([texture]), np.array([[top, left]]), height, width)[0]
    rows, columns = (int(top * side) + np.arange(height)) % side, (int(left * side) + np.arange(width)) % side
    np.testing.assert_array_equal(crop, sheets(side)[texture][rows][:, columns])


@pytest.mark.parametrize("side", [SMALL_SIDE, LARGE_SIDE])
def test_the_colors_are_those_of_the_ramps(side: int) -> None:
    """A ramp says which share of a sheet is darker than each of its colors."""
    for number, (sheet, ice) in enumerate(zip(sheets(side), SHEETS, strict=True)):
        for color, ramp in enumerate((ice.red, ice.green, ice.blue)):
            channel = sheet[..., color]
            quarters = np.quantile(channel, SHARES[1:-1])
            assert np.abs(quarters - ramp[1:-1]).max() < 15, f"sheet {number}, color {color}: {quarters}"
            middle = np.interp(np.linspace(0.01, 0.99, 99), SHARES, ramp).mean()
            assert abs(channel.mean() - middle) < 8, f"sheet {number}, color {color}: mean {channel.mean():.1f}"


def test_sheets_differ() -> None:
    small = sheets(SMALL_SIDE).astype(float).reshape(TEXTURES, -1)
    assert np.abs(np.corrcoef(small) - np.eye(TEXTURES)).max() < 0.7


def test_ice_is_rougher_than_fog_and_smoother_than_noise() -> None:
    """Neighbours are alike, and less so the farther apart."""
    for sheet in sheets(SMALL_SIDE).astype(float).mean(axis=3):
        away = [np.abs(sheet - np.roll(sheet, step, axis=1)).mean() for step in (1, 4, 16)]
        assert away == sorted(away)
