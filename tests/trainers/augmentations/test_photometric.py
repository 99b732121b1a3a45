from __future__ import annotations

import colorsys

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from allweather.runtimes.errors import UsageError
from allweather.trainers.augmentations.photometric import (
    AUGMENTATIONS,
    COMBINATIONS,
    TABLE_ROWS,
    augment,
    row_augmentations,
)

Floats = npt.NDArray[np.float64]
IMAGES = torch.rand(6, 3, 12, 10, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
IMAGES[0] = IMAGES[0, :1]  # a gray one
IMAGES[1] = 0
IMAGES[2] = 1
PAPER = {name: kind.paper for name, kind in AUGMENTATIONS.items()}


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
    for place in np.ndindex(image.shape):
        if draws[place] < p * q:
            out[place] += rho
        elif draws[place] > 1 - p * (1 - q):
            out[place] -= rho
    return out


DEFINITIONS = {
    "brightness+": brightness, "brightness-": brightness, "saturation+": saturation, "saturation-": saturation,
    "gaussian_blur": gaussian_blur, "gaussian_noise": gaussian_noise, "salt_and_pepper": salt_and_pepper,
}  # fmt: skip


@pytest.mark.parametrize("strong", [0.5, 1, 1.7])
@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_each_is_as_it_is_defined(name: str, strong: float) -> None:
    kind = AUGMENTATIONS[name]
    parameter = max(0.0, kind.paper * strong) if kind.name == "saturation-" else kind.paper * strong
    ours = kind(IMAGES, parameter, rng())
    draws = kind.draw(torch.empty_like(IMAGES), rng()) if kind.draw else torch.zeros_like(IMAGES)
    for image, drawn, out in zip(IMAGES, draws, ours, strict=True):
        expected = np.clip(DEFINITIONS[name](image.numpy(), parameter, drawn.numpy()), 0, 1)
        assert np.abs(out.numpy() - expected).max() < 1e-6


@pytest.mark.parametrize("name", TABLE_ROWS)
def test_values_stay_in_range_and_the_pictures_given_stay_as_they_are(name: str) -> None:
    before = IMAGES.clone()
    out = augment(IMAGES, row_augmentations(name), PAPER, rng())
    assert (out.shape, out.dtype) == (IMAGES.shape, IMAGES.dtype)
    assert float(out.min()) >= 0
    assert float(out.max()) <= 1
    assert torch.equal(IMAGES, before)
    assert torch.equal(out, augment(IMAGES, row_augmentations(name), PAPER, rng()))


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_the_neutral_parameter_changes_nothing(name: str) -> None:
    kind = AUGMENTATIONS[name]
    assert torch.allclose(kind(IMAGES, kind.neutral, rng()), IMAGES, atol=1e-6)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_a_parameter_a_picture_is_that_of_each_alone(name: str) -> None:
    kind = AUGMENTATIONS[name]
    shares = torch.linspace(0, 1, 6, dtype=IMAGES.dtype)
    together = augment(IMAGES, [name], PAPER, rng(), {name: shares})
    for number, share in enumerate(shares):
        parameter = kind.neutral + float(share) * (kind.paper - kind.neutral)
        assert torch.allclose(together[number], kind(IMAGES, parameter, rng())[number], atol=1e-6)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_gradients_are_those_of_finite_differences(name: str) -> None:
    kind = AUGMENTATIONS[name]
    images = (0.4 + 0.2 * torch.rand(1, 3, 4, 4, generator=rng(), dtype=torch.float64)).requires_grad_()

    def through(x: Tensor) -> Tensor:
        return kind(x, kind.neutral + 0.2 * (kind.paper - kind.neutral), rng())

    assert torch.autograd.gradcheck(through, images)


def test_combinations_are_those_of_the_paper() -> None:
    plus, minus = set(COMBINATIONS["combined+"]), set(COMBINATIONS["combined-"])
    assert plus & minus == {"gaussian_blur", "gaussian_noise", "salt_and_pepper"}
    assert plus - minus == {"brightness+", "saturation+"}
    assert minus - plus == {"brightness-", "saturation-"}
    with pytest.raises(UsageError, match=r"no augmentation is called 'fog'[.] There are: brightness"):
        row_augmentations("fog")


def test_memory_stays_channels_last() -> None:
    images = IMAGES.float().contiguous(memory_format=torch.channels_last)
    for name in TABLE_ROWS:
        assert augment(images, row_augmentations(name), PAPER, rng()).is_contiguous(
            memory_format=torch.channels_last
        ), name
