"""Crops: what is taken of an image, and the same images as torchvision's presets."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from allweather.runtimes.crop import Crop
from allweather.runtimes.errors import UsageError
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.types import Image

SIDES = st.integers(1, 90)


def gradient(height: int, width: int) -> Image:
    """An image whose red is the row and whose green is the column, in steps of the whole side."""
    rows, columns = np.mgrid[:height, :width]
    red, green = (np.rint(255 * place / max(side - 1, 1)) for place, side in ((rows, height), (columns, width)))
    return np.stack([red, green, np.zeros((height, width))], -1).astype(np.uint8)


@given(height=SIDES, width=SIDES, to=st.tuples(SIDES, SIDES), fraction=st.floats(0.1, 1), squash=st.booleans())
@pytest.mark.slow
def test_any_image_gets_the_size(height: int, width: int, to: tuple[int, int], fraction: float, squash: bool) -> None:
    crop = Crop("squash") if squash else Crop("center", fraction)
    image = np.full((height, width, 3), 77, np.uint8)
    prepared = crop.resize(image, *to)
    assert prepared.shape == (*to, 3)
    assert (prepared == 77).all()
    assert prepared.flags.c_contiguous


@pytest.mark.parametrize(("height", "width"), [(100, 200), (300, 90), (64, 64), (31, 77)])
def test_squash_keeps_the_borders_and_center_the_shape(height: int, width: int) -> None:
    squashed = Crop("squash").resize(gradient(height, width), 32, 32)
    assert squashed[0, 0, :2].max() < 16
    assert squashed[-1, -1, :2].min() > 239
    centered = Crop().resize(gradient(height, width), 32, 32).astype(int)
    spread = np.ptp(centered[..., 0]) * height, np.ptp(centered[..., 1]) * width
    assert spread[0] == pytest.approx(spread[1], rel=0.12)


def test_a_fraction_is_that_of_the_sides() -> None:
    half = Crop("center", 0.5).resize(gradient(128, 128), 32, 32)
    assert int(half[..., 0].min()) == pytest.approx(64, abs=4)
    assert int(half[..., 0].max()) == pytest.approx(191, abs=4)


def test_an_image_of_the_size_has_been_prepared_before() -> None:
    image = gradient(32, 32)
    assert InputSpec(32, 32, crop=Crop("center", 0.875)).prepare(image) is image


@pytest.mark.parametrize(
    ("kind", "fraction", "words"),
    [
        ("centre", 1.0, "no crop is called 'centre'; did you mean center"),
        ("center", 0.0, "0.1 to 1, such as 0.875"),
        ("center", 1.5, "got 1.5"),
        ("center", float("nan"), "got nan"),
        ("center", "0.875", "got '0.875'"),
        ("center", True, "got True"),
        ("squash", 0.875, "squash takes the whole image"),
    ],
)
def test_what_is_no_crop_is_refused(kind: str, fraction: float, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Crop(kind, fraction)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="is a Crop; got str"):
        InputSpec(8, 8, crop="center")  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize("size", [(400, 500), (375, 500), (500, 333), (256, 256), (720, 1280), (240, 320)])
def test_a_fraction_of_0875_is_the_preset_of_torchvision(size: tuple[int, int]) -> None:
    """Resize to 256 with antialias, then cut out 224 x 224: on a smooth image, only rounding differs."""
    torch = pytest.importorskip("torch")
    from allweather.trainers.torchvision_import import import_torchvision

    functional = import_torchvision("transforms.v2").functional
    rng = np.random.default_rng(0)
    image = cv2.GaussianBlur(cv2.resize(rng.integers(0, 256, (9, 12, 3), np.uint8), size[::-1]), (0, 0), 3)
    tensor = functional.resize(torch.from_numpy(image).permute(2, 0, 1), [256], antialias=True)
    expected = functional.center_crop(tensor, [224, 224]).permute(1, 2, 0).numpy().astype(int)
    ours = InputSpec(224, 224, crop=Crop(fraction=224 / 256)).prepare(image).astype(int)
    assert abs(ours - expected).mean() < 1.5
    whole = InputSpec(224, 224).prepare(image).astype(int)
    assert abs(whole - expected).mean() > 3 * abs(ours - expected).mean()


def test_the_reader_of_a_bundle_prepares_as_the_writer(tmp_path: Path) -> None:
    from allweather.runtimes.bundle.stored_input import Input

    spec = InputSpec(24, 40, crop=Crop("center", 0.875))
    read = Input.model_validate_json(Input.from_spec(spec).model_dump_json()).spec()
    assert read == spec
    image = gradient(97, 130)
    np.testing.assert_array_equal(read.prepare(image), spec.prepare(image))
    with pytest.raises(ValueError, match="squash takes the whole image"):
        Input(height=8, width=8, mean=(0, 0, 0), std=(1, 1, 1), crop="squash", crop_fraction=0.5)
