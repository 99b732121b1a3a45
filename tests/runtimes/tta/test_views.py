"""Views: compared with Pillow, round trips, and properties that hold for every one of them."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image as Pillow
from PIL import ImageEnhance, ImageOps

from allweather.runtimes.errors import UsageError
from allweather.runtimes.tta.views import CLASSIC_VIEWS, FURTHER_VIEWS, VIEWS, crop, hflip, rotate, view, zoom
from allweather.runtimes.types import Image

EVERY = (*VIEWS, *FURTHER_VIEWS, *CLASSIC_VIEWS, "zoom1.2/hflip")
PILLOW: dict[str, Callable[[Pillow.Image], Pillow.Image]] = {
    "autocontrast": ImageOps.autocontrast,
    "hflip": ImageOps.mirror,
    **{f"sharpness{f:g}": lambda image, f=f: ImageEnhance.Sharpness(image).enhance(f) for f in (0.2, 0.5, 3.0, 4.0)},  # type: ignore[misc]
    **{f"color{f:g}": lambda image, f=f: ImageEnhance.Color(image).enhance(f) for f in (0.5, 2.0)},  # type: ignore[misc]
}


def any_image(min_side: int = 3) -> st.SearchStrategy[Image]:
    """uint8 [h, w, 3] of few gray levels and of many."""
    shape = st.tuples(st.integers(min_side, 40), st.integers(min_side, 40), st.just(3))
    return shape.flatmap(lambda each: arrays.arrays(np.uint8, each))


def soft(height: int = 64, width: int = 80) -> Image:
    """Returns an image without fine detail, which resampling preserves."""
    small = np.random.default_rng(3).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def middle(image: Image) -> np.ndarray:
    """Returns the inner half of each side, as int."""
    height, width = image.shape[:2]
    return image[height // 4 : -height // 4, width // 4 : -width // 4].astype(int)


@pytest.mark.parametrize("name", PILLOW)
@settings(max_examples=60, deadline=None)
@given(image=any_image())
@pytest.mark.slow
def test_within_a_gray_level_of_pillow(name: str, image: Image) -> None:
    theirs = np.asarray(PILLOW[name](Pillow.fromarray(image)))
    assert np.abs(view(name).apply(image).astype(int) - theirs).max() <= 1


@pytest.mark.slow
@pytest.mark.parametrize("name", EVERY)
@settings(max_examples=30, deadline=None)
@given(image=any_image(1))
def test_every_view_keeps_the_size_and_does_not_change_its_argument(name: str, image: Image) -> None:
    before = image.copy()
    image.flags.writeable = False
    out = view(name).apply(image)
    assert out.shape == image.shape
    assert out.dtype == np.uint8
    assert np.array_equal(image, before)
    assert np.array_equal(view(name).apply(np.repeat(image, 2, 1)[:, ::2]), out)  # with another memory layout


def test_the_twelve_and_their_order_are_pinned() -> None:
    assert tuple(VIEWS) == (
        "identity", "rotate-20", "rotate+20", "zoom0.8", "zoom1.2", "autocontrast",
        "sharpness0.2", "sharpness0.5", "sharpness3", "sharpness4", "color0.5", "color2",
    )  # fmt: skip
    assert all(each.name == name for name, each in {**VIEWS, **FURTHER_VIEWS, **CLASSIC_VIEWS}.items())


@pytest.mark.parametrize("degrees", [-20.0, 20.0, 7.0])
def test_rotations_undo_each_other(degrees: float) -> None:
    image = soft()
    there = rotate(image, degrees)
    assert np.abs(middle(there) - middle(image)).mean() > 5
    assert np.abs(middle(rotate(there, -degrees)) - middle(image)).max() <= 8


@pytest.mark.parametrize("factor", [0.8, 1.2])
def test_zooms_undo_each_other(factor: float) -> None:
    image = soft()
    there = zoom(image, factor)
    assert np.abs(middle(there) - middle(image)).mean() > 3
    assert np.abs(middle(zoom(there, 1 / factor)) - middle(image)).max() <= 8


def test_quarter_turns_are_exact_and_counter_clockwise() -> None:
    image = np.random.default_rng(0).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    assert np.array_equal(rotate(image, 90.0), np.rot90(image))


def test_denoise_removes_salt_and_pepper_and_deblur_restores_an_edge() -> None:
    image = soft()
    noisy = image.copy()
    noisy[::4, ::4], noisy[2::4, 2::4] = 255, 0
    errors = [np.abs(each.astype(int) - image).mean() for each in (noisy, view("denoise").apply(noisy))]
    assert errors[1] < 0.25 * errors[0]
    edge = np.zeros((32, 32, 3), np.uint8)
    edge[:, 16:] = 200
    for name, sigma in (("deblur1", 1.0), ("deblur2", 2.0)):
        blurred = np.asarray(cv2.GaussianBlur(edge, (0, 0), sigma), np.uint8)
        restored = view(name).apply(blurred)
        assert np.abs(restored.astype(int) - edge).mean() < 0.8 * np.abs(blurred.astype(int) - edge).mean()


def test_gamma_keeps_black_and_white_and_undoes_itself() -> None:
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, 2)
    brighter, darker = view("gamma0.5").apply(ramp), view("gamma2").apply(ramp)
    assert (brighter >= ramp).all()
    assert (darker <= ramp).all()
    for each in (brighter, darker):
        assert np.array_equal(each[[0, -1], [0, -1]], ramp[[0, -1], [0, -1]])
    assert np.abs(view("gamma2").apply(brighter).astype(int) - ramp).max() <= 2


def test_flips_undo_each_other_and_commute_with_zoom() -> None:
    image = soft()
    assert np.array_equal(hflip(hflip(image)), image)
    assert np.abs(view("zoom1.2/hflip").apply(image).astype(int) - view("hflip/zoom1.2").apply(image)).max() <= 1


def test_crops_are_where_their_names_say() -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    image[:4, :4] = 255  # only a crop of the top left corner contains it
    brightest = {name: int(each.apply(image).max()) for name, each in CLASSIC_VIEWS.items() if name.startswith("crop")}
    assert [name for name, value in brightest.items() if value] == ["crop-top-left"]
    assert np.array_equal(crop(image, 1.0, 0.0), hflip(crop(hflip(image), 0.0, 0.0)))


def test_a_flat_image_has_no_contrast_to_stretch() -> None:
    gray = np.full((8, 8, 3), 77, np.uint8)
    assert np.array_equal(view("autocontrast").apply(gray), gray)


def test_an_unknown_view_is_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"no view is called 'rotate20'; did you mean rotate[+-]20\?"):
        view("rotate20")
    with pytest.raises(UsageError, match="no view is called ''"):
        view("hflip/")
    with pytest.raises(UsageError, match=r"; one of your own is known after allweather\.register_view, in Python"):
        view("negative")
