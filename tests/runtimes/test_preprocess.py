"""Preparing an image for a model, for any size of either."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allweather.runtimes.errors import UsageError
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.region import Region
from allweather.runtimes.types import Image

SIDE = st.integers(1, 200)


def noise(height: int, width: int) -> Image:
    return np.random.default_rng(height * 1000 + width).integers(0, 256, (height, width, 3), np.uint8)


@settings(deadline=None, max_examples=50)
@given(height=SIDE, width=SIDE, to_height=SIDE, to_width=SIDE)
def test_any_image_gets_the_input_size_of_the_model(height: int, width: int, to_height: int, to_width: int) -> None:
    image = noise(height, width)
    kept = image.copy()
    prepared = InputSpec(to_height, to_width).prepare(image)
    assert (prepared.shape, prepared.dtype) == ((to_height, to_width, 3), np.uint8)
    assert prepared.flags.c_contiguous
    np.testing.assert_array_equal(image, kept)


@given(height=SIDE, width=SIDE)
def test_an_image_of_the_right_size_is_returned_as_it_is(height: int, width: int) -> None:
    image = noise(height, width)
    assert InputSpec(height, width).prepare(image) is image


@settings(deadline=None, max_examples=50)
@given(height=SIDE, width=SIDE, to_height=SIDE, to_width=SIDE, color=st.tuples(*[st.integers(0, 255)] * 3))
def test_an_image_of_one_color_stays_of_one_color(
    height: int, width: int, to_height: int, to_width: int, color: tuple[int, int, int]
) -> None:
    prepared = InputSpec(to_height, to_width).prepare(np.full((height, width, 3), color, np.uint8))
    np.testing.assert_array_equal(prepared, np.full((to_height, to_width, 3), color, np.uint8))


def cut_off(side: int, other: int, to_side: int, to_other: int) -> int:
    """Returns how many pixels of a side are cut off to get the model's shape, and a multiple of the whole factor."""
    scale = min(side / to_side, other / to_other)
    factor = max(1, round(scale))
    return side - max(1, min(side, round(to_side * scale)) // factor * factor)


@settings(deadline=None, max_examples=120)
@given(height=SIDE, width=SIDE, to_height=SIDE, to_width=SIDE)
@pytest.mark.slow
def test_a_flipped_image_gives_the_flipped_input(height: int, width: int, to_height: int, to_width: int) -> None:
    """If an even number of pixels is cut off. An odd one cannot be halved, and the crop is half a pixel off-center."""
    spec, image = InputSpec(to_height, to_width), noise(height, width)
    prepared = spec.prepare(image).astype(int)
    if cut_off(width, height, to_width, to_height) % 2 == 0:
        assert np.abs(spec.prepare(image[:, ::-1])[:, ::-1] - prepared).max() <= 1
    if cut_off(height, width, to_height, to_width) % 2 == 0:
        assert np.abs(spec.prepare(image[::-1])[::-1] - prepared).max() <= 1


@settings(deadline=None, max_examples=50)
@given(side=st.integers(1, 60), more=st.integers(0, 60))
def test_both_ends_are_cut_off_equally(side: int, more: int) -> None:
    ramp = np.broadcast_to(np.arange(side + more, dtype=np.uint8)[None, :, None], (side, side + more, 3))
    columns = InputSpec(side, side).prepare(ramp)[0, :, 0].tolist()
    assert columns == list(range(more // 2, more // 2 + side))


@settings(deadline=None, max_examples=50)
@given(height=SIDE, width=SIDE)
def test_a_part_of_a_larger_image_is_prepared_like_a_copy_of_it(height: int, width: int) -> None:
    part = noise(height + 3, width + 5)[1 : height + 1, 2 : width + 2]
    np.testing.assert_array_equal(InputSpec(32, 48).prepare(part), InputSpec(32, 48).prepare(part.copy()))


def test_fine_stripes_are_averaged_when_the_image_shrinks() -> None:
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 200
    assert set(InputSpec(16, 16).prepare(stripes).ravel().tolist()) == {100}


@pytest.mark.parametrize(
    ("image", "came"),
    [
        (np.zeros((8, 8, 3), np.float32), r"float32 \[8, 8, 3\]"),
        (np.zeros((8, 8, 3), np.int8), r"int8 \[8, 8, 3\]"),
        (np.zeros((8, 8), np.uint8), r"uint8 \[8, 8\]"),
        (np.zeros((8, 8, 1), np.uint8), r"uint8 \[8, 8, 1\]"),
        (np.zeros((8, 8, 4), np.uint8), r"uint8 \[8, 8, 4\]"),
        (np.zeros((3, 8, 8), np.uint8), r"uint8 \[3, 8, 8\]"),
        (np.zeros((1, 8, 8, 3), np.uint8), r"uint8 \[1, 8, 8, 3\]"),
        (np.zeros((0, 8, 3), np.uint8), r"uint8 \[0, 8, 3\]"),
        (np.zeros((), np.uint8), r"uint8 \[\]"),
        (None, "NoneType"),
        ("image.png", "str"),
        ([[[0, 0, 0]]], "list"),
    ],
)
def test_an_invalid_image_is_refused(image: Any, came: str) -> None:
    with pytest.raises(UsageError, match=rf"uint8 \[H, W, 3\]; got {came}(: .+)?$"):
        InputSpec(8, 8).prepare(image)


@pytest.mark.parametrize(("height", "width"), [(0, 8), (8, 0), (-1, 8), (4097, 8), (8, 2**40)])
def test_a_size_that_no_model_has_is_refused(height: int, width: int) -> None:
    with pytest.raises(UsageError, match=f"got {width} x {height}"):
        InputSpec(height, width)


@pytest.mark.parametrize("bad", [0.0, -1.0, float("nan"), float("inf")])
@pytest.mark.parametrize("channel", [0, 1, 2])
def test_an_invalid_standard_deviation_is_refused(bad: float, channel: int) -> None:
    std = [0.5, 0.5, 0.5]
    std[channel] = bad
    with pytest.raises(UsageError, match="std > 0"):
        InputSpec(8, 8, std=(std[0], std[1], std[2]))


@given(x=st.integers(0, 30), y=st.integers(0, 30), width=st.integers(1, 30), height=st.integers(1, 30))
@pytest.mark.slow
def test_a_region_crops_its_part_of_the_frame_or_is_refused(x: int, y: int, width: int, height: int) -> None:
    image, region = noise(24, 32), Region(x, y, width, height)
    if x + width <= 32 and y + height <= 24:
        part = region.crop(image)
        assert part.base is image
        np.testing.assert_array_equal(part, image[y : y + height, x : x + width])
    else:
        with pytest.raises(UsageError, match="outside the frame of 32 x 24"):
            region.crop(image)


@pytest.mark.parametrize("region", [(-1, 0, 1, 1), (0, -1, 1, 1), (0, 0, 0, 1), (0, 0, 1, -1)])
def test_an_empty_region_is_refused(region: tuple[int, int, int, int]) -> None:
    with pytest.raises(UsageError, match="a region is x,y,width,height"):
        Region(*region)


@pytest.mark.parametrize(
    "edges", [(1.5, 0, 2, 2), (0, 0, math.nan, 2), ("0", 0, 2, 2), (0, None, 2, 2), (0, 0, True, 2)]
)
def test_a_region_is_of_whole_pixels(edges: Any) -> None:
    with pytest.raises(UsageError, match="whole numbers of pixels"):
        Region(*edges)


@pytest.mark.parametrize(("mean", "std"), [(0.5, 1e-40), (0.5, 1e308), (1e30, 0.5), (-1e30, 0.5), (0.5, 1e-7)])
def test_a_normalization_that_leaves_nothing_of_the_image_is_refused(mean: float, std: float) -> None:
    with pytest.raises(UsageError, match=r"std of a model's input is 1e-06 to 1e\+06"):
        InputSpec(8, 8, (0.5, mean, 0.5), (0.5, std, 0.5))


def test_a_normalization_may_be_a_list_or_of_numpy() -> None:
    spec = InputSpec(8, 8, [0.5, 0.5, 0.5], tuple(np.float32([0.25, 0.25, 0.25])))  # type: ignore[arg-type]
    assert spec == InputSpec(8, 8, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    assert hash(spec)


def test_usual_normalizations_are_taken() -> None:
    InputSpec(8, 8, (0, 0, 0), (1 / 255, 1 / 255, 1 / 255))
    InputSpec(8, 8, (0.5, 0.5, 0.5), (128 / 255, 1, 255))


def test_an_image_of_pillow_is_told_how_to_become_one() -> None:
    image: Any = PIL.Image.new("L", (8, 8))
    with pytest.raises(UsageError, match=r"got Image: write numpy.asarray\(image.convert\('RGB'\)\)"):
        InputSpec(8, 8).prepare(image)
