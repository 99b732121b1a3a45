from __future__ import annotations

import colorsys
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from allweather.runtimes.errors import DataError, UsageError
from allweather.trainers.augmentations.photometric import (
    AUGMENTATIONS,
    COMBINATIONS,
    TABLE_ROWS,
    augment,
    row_augmentations,
)

Floats = npt.NDArray[np.float64]
IMAGES = torch.rand(6, 3, 12, 10, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
IMAGES[0] = IMAGES[0, :1]  # a gray image
IMAGES[1] = 0
IMAGES[2] = 1
PAPER = {name: augmentation.paper for name, augmentation in AUGMENTATIONS.items()}


def rng(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def brightness(image: Floats, delta: float, draws: Floats) -> Floats:
    return image + delta


def saturation(image: Floats, alpha: float, draws: Floats) -> Floats:
    out = np.empty_like(image)
    for row, column in np.ndindex(image.shape[1:]):
        hue, light, saturated = colorsys.rgb_to_hls(*image[:, row, column])
        out[:, row, column] = colorsys.hls_to_rgb(hue, light, min(1.0, alpha * saturated))
    return out


def gaussian_blur(image: Floats, sigma: float, draws: Floats) -> Floats:
    y, x = np.mgrid[-1:2, -1:2]
    kernel = np.exp(-(x**2 + y**2) / (2 * sigma**2))
    kernel /= kernel.sum()
    padded = np.pad(image, ((0, 0), (1, 1), (1, 1)), mode="reflect")
    height, width = image.shape[1:]
    return sum(  # type: ignore[no-any-return]
        kernel[i, j] * padded[:, i : i + height, j : j + width] for i in range(3) for j in range(3)
    )


def gaussian_noise(image: Floats, sigma: float, draws: Floats) -> Floats:
    return image + sigma * draws


def salt_and_pepper(image: Floats, p: float, draws: Floats) -> Floats:
    q, rho = 0.5, 0.5
    out = image.copy()
    for index in np.ndindex(image.shape):
        if draws[index] < p * q:
            out[index] += rho
        elif draws[index] > 1 - p * (1 - q):
            out[index] -= rho
    return out


DEFINITIONS = {
    "brightness+": brightness, "brightness-": brightness, "saturation+": saturation, "saturation-": saturation,
    "gaussian_blur": gaussian_blur, "gaussian_noise": gaussian_noise, "salt_and_pepper": salt_and_pepper,
}  # fmt: skip


@pytest.mark.parametrize("factor", [0.5, 1, 1.7])
@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_each_augmentation_follows_its_definition(name: str, factor: float) -> None:
    augmentation = AUGMENTATIONS[name]
    parameter = augmentation.paper * factor
    if name == "saturation-":
        parameter = max(0.0, parameter)
    ours = augmentation(IMAGES, parameter, rng())
    draws = augmentation.draw(torch.empty_like(IMAGES), rng()) if augmentation.draw else torch.zeros_like(IMAGES)
    for image, draw, out in zip(IMAGES, draws, ours, strict=True):
        expected = np.clip(DEFINITIONS[name](image.numpy(), parameter, draw.numpy()), 0, 1)
        assert np.abs(out.numpy() - expected).max() < 1e-6


@pytest.mark.parametrize("name", TABLE_ROWS)
def test_values_stay_in_range_and_the_input_is_not_changed(name: str) -> None:
    before = IMAGES.clone()
    out = augment(IMAGES, row_augmentations(name), PAPER, rng())
    assert (out.shape, out.dtype) == (IMAGES.shape, IMAGES.dtype)
    assert float(out.min()) >= 0
    assert float(out.max()) <= 1
    assert torch.equal(IMAGES, before)
    assert torch.equal(out, augment(IMAGES, row_augmentations(name), PAPER, rng()))


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_the_neutral_parameter_changes_nothing(name: str) -> None:
    augmentation = AUGMENTATIONS[name]
    assert torch.allclose(augmentation(IMAGES, augmentation.neutral, rng()), IMAGES, atol=1e-6)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_a_parameter_for_each_image_acts_on_that_image_alone(name: str) -> None:
    augmentation = AUGMENTATIONS[name]
    shares = torch.linspace(0, 1, 6, dtype=IMAGES.dtype)
    together = augment(IMAGES, [name], PAPER, rng(), {name: shares})
    for index, share in enumerate(shares):
        parameter = augmentation.neutral + float(share) * (augmentation.paper - augmentation.neutral)
        assert torch.allclose(together[index], augmentation(IMAGES, parameter, rng())[index], atol=1e-6)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_gradients_are_those_of_finite_differences(name: str) -> None:
    augmentation = AUGMENTATIONS[name]
    images = (0.4 + 0.2 * torch.rand(1, 3, 4, 4, generator=rng(), dtype=torch.float64)).requires_grad_()

    def apply(x: Tensor) -> Tensor:
        parameter = augmentation.neutral + 0.2 * (augmentation.paper - augmentation.neutral)
        return augmentation(x, parameter, rng())

    assert torch.autograd.gradcheck(apply, images)


def test_combinations_are_those_of_the_paper() -> None:
    plus, minus = set(COMBINATIONS["combined+"]), set(COMBINATIONS["combined-"])
    assert plus & minus == {"gaussian_blur", "gaussian_noise", "salt_and_pepper"}
    assert plus - minus == {"brightness+", "saturation+"}
    assert minus - plus == {"brightness-", "saturation-"}
    with pytest.raises(UsageError, match=r"no augmentation is called 'fog'[.] There are: brightness"):
        row_augmentations("fog")


def test_the_memory_format_stays_channels_last() -> None:
    images = IMAGES.float().contiguous(memory_format=torch.channels_last)
    for name in TABLE_ROWS:
        assert augment(images, row_augmentations(name), PAPER, rng()).is_contiguous(
            memory_format=torch.channels_last
        ), name


def test_uint8_and_a_single_image_are_augmented_as_floats_are() -> None:
    names, pixels = COMBINATIONS["combined-"], (IMAGES * 255).round().to(torch.uint8)
    floats = pixels / 255
    expected = (augment(floats, names, PAPER, rng()) * 255).round().to(torch.uint8)
    before = pixels.clone()
    assert torch.equal(augment(pixels, names, PAPER, rng()), expected)  # uint8 overflowed
    assert torch.equal(pixels, before)
    one = augment(floats[0], names, PAPER, rng())  # [1, 3, h + 2, w - 2] came of it
    assert torch.equal(one, augment(floats[:1], names, PAPER, rng())[0])


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (IMAGES * 255, "divide by 255"),  # all of it became white
        (IMAGES * torch.nan, "got values from nan"),
        ((IMAGES * 255).long(), "got int64"),
        (IMAGES.numpy(), "got ndarray"),
        (IMAGES[:, :1], "repeat the gray channel"),
        (IMAGES[..., :1], "2 x 2 pixels"),
    ],
)
def test_images_that_cannot_be_augmented_are_told(images: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        augment(images, ["gaussian_blur"], PAPER, rng())


@pytest.mark.parametrize(
    ("names", "parameters", "generator", "message"),
    [
        ("gaussian_blur", PAPER, rng(), "are a list"),
        (["blur"], PAPER, rng(), "no augmentation is called 'blur'"),
        (["gaussian_blur"], {}, rng(), "got None for gaussian_blur"),
        (["gaussian_blur"], {"gaussian_blur": "0.5"}, rng(), "got '0.5'"),
        (["gaussian_blur"], {"gaussian_blur": float("nan")}, rng(), "got nan"),
        (["gaussian_noise"], PAPER, np.random.default_rng(), "rng is a Generator; got Generator"),
        (["gaussian_noise"], PAPER, None, "rng is a Generator; got NoneType"),
    ],
)
def test_arguments_that_cannot_be_used_are_told(names: Any, parameters: Any, generator: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        augment(IMAGES, names, parameters, generator)
