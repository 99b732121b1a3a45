from __future__ import annotations

import numpy as np
import pytest

from allweather.runtimes.errors import AllweatherError, DataError, UsageError
from allweather.trainers.corruptions import COMMON, CORRUPTIONS, EXTRA, corrupt_images

GOOD = np.full((2, 20, 24, 3), 100, np.uint8)


def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def test_the_published_names() -> None:
    assert COMMON == (
        "gaussian_noise",
        "shot_noise",
        "impulse_noise",
        "defocus_blur",
        "glass_blur",
        "motion_blur",
        "zoom_blur",
        "snow",
        "frost",
        "fog",
        "brightness",
        "contrast",
        "elastic_transform",
        "pixelate",
        "jpeg_compression",
    )
    assert EXTRA == ("speckle_noise", "gaussian_blur", "spatter", "saturate")
    assert set(CORRUPTIONS) == {*COMMON, *EXTRA}
    assert all(len(corruption.small) == len(corruption.large) == 5 for corruption in CORRUPTIONS.values())


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_one_image_is_a_batch_of_one(name: str) -> None:
    image = corrupt_images(GOOD[0], name, 3, rng())
    assert image.shape == GOOD[0].shape
    np.testing.assert_array_equal(image, corrupt_images(GOOD[:1], name, 3, rng())[0])


def test_images_draw_one_after_the_other_from_one_generator() -> None:
    generator = rng()
    single = [corrupt_images(image, "shot_noise", 2, generator) for image in GOOD]
    np.testing.assert_array_equal(np.stack(single), corrupt_images(GOOD, "shot_noise", 2, rng()))
    assert (single[0] != single[1]).any()


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (GOOD[:, :15], "16 x 16 pixels or more; got 15 x 24"),
        (GOOD[:, :, :15], "16 x 16 pixels or more; got 20 x 15"),
        (GOOD[0, ..., 0], r"RGB; got the shape \[20, 24\]: repeat .*gray"),
        (GOOD[..., :1], r"got the shape \[2, 20, 24, 1\]: repeat .*gray"),
        (np.zeros((20, 24, 4), np.uint8), r"got the shape \[20, 24, 4\]: .*alpha"),
        (GOOD[None], r"got the shape \[1, 2, 20, 24, 3\]"),
        (GOOD.astype(np.uint16), "uint8 images .*; got uint16: scale 16-bit values down"),
        (GOOD / np.float32(255), "uint8 images .*; got float32: scale .* 0..1 up to 0..255"),
        (GOOD[:0], "got no images"),
    ],
)
def test_images_that_cannot_be_corrupted(images: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        corrupt_images(images, "fog", 1, rng())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("gausian_noise", "gaussian_noise"),
        ("Fog", "fog"),
        ("motionblur", "motion_blur"),
        ("jpeg", "jpeg_compression"),
        ("elastic", "elastic_transform"),
    ],
)
def test_the_most_similar_name_is_suggested(name: str, nearest: str) -> None:
    with pytest.raises(UsageError, match=f"no corruption is called '{name}'; did you mean {nearest}[?]") as caught:
        corrupt_images(GOOD, name, 1, rng())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["", "?"])
def test_a_name_similar_to_none_is_an_error_too(name: str) -> None:
    with pytest.raises(AllweatherError, match="no corruption is called"):
        corrupt_images(GOOD, name, 1, rng())


@pytest.mark.parametrize("severity", [0, 6, -1])
def test_severities_are_one_to_five(severity: int) -> None:
    with pytest.raises(UsageError, match=f"a severity is 1 to 5; got {severity}$"):
        corrupt_images(GOOD, "fog", severity, rng())
