"""Photometric augmentations of the FMA paper (Kapoor et al., section 4.2), applied to whole batches.

Each augmentation has one parameter. The augmentation strength search (`strengths.py`) chooses it for a classifier; at
its neutral value the image stays unchanged. The augmentations are applied in the order in which a camera adds them:
light first, then the lens, then the sensor. The paper leaves the order open.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor
from torch.nn import functional

from allweather.runtimes.errors import DataError, UsageError, unknown_name
from allweather.runtimes.setting_types import check_instance, is_number
from allweather.trainers.image_tensors import check_image_tensor

SALT_SHARE = 0.5  # share of salt in salt-and-pepper noise: q of table 1, CIFAR-10
NOISE_AMPLITUDE = 0.5  # what salt adds and pepper subtracts: rho of table 1, CIFAR-10
EPSILON = 1e-6


@dataclass(frozen=True)
class PhotometricAugmentation:
    """One photometric augmentation with its parameter's range.

    Attributes:
        name: Name of the augmentation, such as "gaussian_blur".
        symbol: Symbol in the paper's tables, such as "GB".
        parameter: Name of the parameter in the paper's table 1.
        neutral: Value of the parameter that leaves an image unchanged.
        limit: Value of the parameter beyond which the image does not change further, or shows nothing of its content.
        paper: Value that costs the paper's VGG-16 about 10 points of accuracy on CIFAR-10 (table 1).
        apply: Function of images (float [n, 3, h, w] in 0..1), parameters ([n, 1, 1, 1] or [1, 1, 1, 1]) and random
            numbers (shaped like the images, or None) that returns augmented images of the same shape, not clipped.
        draw: Function that fills a tensor with the random numbers that `apply` needs; None if it needs none.
    """

    name: str
    symbol: str
    parameter: str
    neutral: float
    limit: float
    paper: float
    apply: Callable[[Tensor, Tensor, Tensor | None], Tensor]
    draw: Callable[[Tensor, torch.Generator], Tensor] | None = None

    def __call__(self, images: Tensor, parameter: float | Tensor, rng: torch.Generator) -> Tensor:
        """Augments a batch and clips it (eq. 2).

        Args:
            images: float [n, 3, h, w] in 0..1.
            parameter: One value for all images, or one value for each image, [n].
            rng: Random generator on the device of the images.

        Returns:
            Augmented images of the same shape and dtype, in 0..1. Gradients reach `images` where nothing was clipped.
        """
        parameters = torch.as_tensor(parameter, dtype=images.dtype, device=images.device).reshape(-1, 1, 1, 1)
        draws = self.draw(torch.empty_like(images, requires_grad=False), rng) if self.draw else None
        return self.apply(images, parameters, draws).clamp(0, 1)


def brighten(images: Tensor, delta: Tensor, draws: Tensor | None = None) -> Tensor:
    """Adds the same `delta` to each color channel."""
    return images + delta


def saturate(images: Tensor, alpha: Tensor, draws: Tensor | None = None) -> Tensor:
    """Multiplies the saturation of the HSL representation by `alpha`, up to full saturation.

    At constant hue and lightness l, a color c moves along a line through gray: c -> l + (c - l) s' / s. The hue itself
    is therefore never computed.
    """
    low, high = images.amin(1, keepdim=True), images.amax(1, keepdim=True)
    lightness, chroma = (low + high) / 2, high - low
    to_full = (1 - (2 * lightness - 1).abs()) / chroma.clamp(min=EPSILON)  # the factor that leads to saturation 1
    return lightness + (images - lightness) * torch.minimum(alpha, to_full.clamp(min=1))


def blur(images: Tensor, sigma: Tensor, draws: Tensor | None = None) -> Tensor:
    """Convolves with a Gaussian kernel of 3 x 3 pixels (s of table 1), with reflected borders."""
    side = torch.exp(-0.5 / sigma.clamp(min=EPSILON) ** 2)
    center, side = 1 / (1 + 2 * side), side / (1 + 2 * side)
    padded = functional.pad(images, (1, 1, 1, 1), mode="reflect")
    rows = center * padded[:, :, 1:-1] + side * (padded[:, :, :-2] + padded[:, :, 2:])
    return center * rows[..., 1:-1] + side * (rows[..., :-2] + rows[..., 2:])


def add_noise(images: Tensor, sigma: Tensor, draws: Tensor | None) -> Tensor:
    """Adds zero-mean Gaussian noise of standard deviation `sigma` to each value."""
    assert draws is not None
    return images + sigma * draws


def add_salt_and_pepper(images: Tensor, probability: Tensor, draws: Tensor | None) -> Tensor:
    """Adds +0.5 or -0.5 to each value with the given probability, as bit errors in transmission do."""
    assert draws is not None
    salt, pepper = draws < SALT_SHARE * probability, draws > 1 - (1 - SALT_SHARE) * probability
    return images + NOISE_AMPLITUDE * (salt.to(images.dtype) - pepper.to(images.dtype))


def _fill_normal(out: Tensor, rng: torch.Generator) -> Tensor:
    # Filled in memory order: torch fills a non-contiguous tensor value by value, which takes nine times as long.
    out.as_strided((out.numel(),), (1,)).normal_(generator=rng)
    return out


def _fill_uniform(out: Tensor, rng: torch.Generator) -> Tensor:
    return out.uniform_(generator=rng)


AUGMENTATIONS: Mapping[str, PhotometricAugmentation] = MappingProxyType(
    {
        augmentation.name: augmentation
        for augmentation in (
            PhotometricAugmentation("brightness+", "B+", "delta", 0, 1, 0.39, brighten),
            PhotometricAugmentation("brightness-", "B-", "delta", 0, -1, -0.36, brighten),
            PhotometricAugmentation("saturation+", "S+", "alpha", 1, 256, 6.0, saturate),
            PhotometricAugmentation("saturation-", "S-", "alpha", 1, 0, 0.0, saturate),
            PhotometricAugmentation("gaussian_blur", "GB", "sigma", 0, 8, 0.675, blur),
            PhotometricAugmentation("gaussian_noise", "GN", "sigma", 0, 1, 0.075, add_noise, _fill_normal),
            PhotometricAugmentation("salt_and_pepper", "SAP", "p", 0, 1, 0.025, add_salt_and_pepper, _fill_uniform),
        )
    }
)
INVERSE_PAIRS = (("brightness+", "brightness-"), ("saturation+", "saturation-"))  # each undoes the other
NON_INVERSE = ("gaussian_blur", "gaussian_noise", "salt_and_pepper")  # A' in section 4.3.2
COMBINATIONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "combined+": ("brightness+", "saturation+", *NON_INVERSE),
        "combined-": ("brightness-", "saturation-", *NON_INVERSE),
    }
)
TABLE_ROWS = (*AUGMENTATIONS, *COMBINATIONS)  # rows of the paper's table 3 below "clean"


def row_augmentations(row: str) -> tuple[str, ...]:
    """Returns the names of the augmentations that a row of table 3 applies: one, or the five of a combination.

    Args:
        row: One of `TABLE_ROWS`.

    Raises:
        UsageError: There is no such row.
    """
    if row not in TABLE_ROWS:
        raise unknown_name("augmentation", row, TABLE_ROWS)
    return COMBINATIONS.get(row, (row,))


def augment(
    images: Tensor,
    names: Sequence[str],
    parameters: Mapping[str, float],
    rng: torch.Generator,
    shares: Mapping[str, Tensor] = MappingProxyType({}),
) -> Tensor:
    """Applies augmentations one after the other and clips after each (eq. 2 and 7).

    Args:
        images: RGB, [n, 3, h, w] or [3, h, w], uint8 or float in 0..1. They are not changed.
        names: Names of `AUGMENTATIONS`, in the order in which they are applied.
        parameters: Parameter of each augmentation, by name.
        rng: Random generator on the device of the images.
        shares: For each image, how far to go from the neutral parameter (0) to the given one (1); float [n], by name.
            An augmentation that is missing here goes all the way on every image.

    Returns:
        Augmented images of the same shape and type.

    Raises:
        DataError: The images are of another form, or too small to be blurred.
        UsageError: There is no such augmentation, or another argument has the wrong type.
    """
    check_image_tensor(images)
    if isinstance(names, str) or not isinstance(names, Sequence):
        raise UsageError(f"the names of augmentations are a list, such as ['gaussian_blur']; got {names!r:.40}")
    for name in names:
        if name not in AUGMENTATIONS:
            raise unknown_name("augmentation", str(name), AUGMENTATIONS)
        parameter = parameters.get(name) if isinstance(parameters, Mapping) else None
        if parameter is None or not is_number(parameter) or not math.isfinite(parameter):
            raise UsageError(f"parameters hold a number for each augmentation; got {parameter!r:.40} for {name}")
    if "gaussian_blur" in names and min(images.shape[-2:]) < 2:
        raise DataError(f"gaussian_blur takes images of 2 x 2 pixels or more; got {list(images.shape)}")
    check_instance("rng", rng, torch.Generator, "torch.Generator(images.device) makes one")
    floats = images / 255 if images.dtype == torch.uint8 else images
    out = augment_floats(floats.reshape(-1, *images.shape[-3:]), names, parameters, rng, shares).reshape(images.shape)
    return (out * 255).round().to(torch.uint8) if images.dtype == torch.uint8 else out


def check_strengths(strengths: object) -> None:
    """Checks that there is a finite strength of each augmentation.

    Raises:
        UsageError: One is missing or no number; the message names it.
    """
    check_instance("strengths", strengths, Mapping, "strengths=checkpoint.strengths of a finetuned one")
    assert isinstance(strengths, Mapping)
    for name in AUGMENTATIONS:
        strength = strengths.get(name)
        if strength is None or not is_number(strength) or not math.isfinite(strength):
            raise UsageError(f"strengths hold a number for each augmentation; got {strength!r:.40} for {name}")


def augment_floats(
    images: Tensor,
    names: Sequence[str],
    parameters: Mapping[str, float],
    rng: torch.Generator,
    shares: Mapping[str, Tensor] = MappingProxyType({}),
) -> Tensor:
    """Does what `augment` does, on float [n, 3, h, w] in 0..1, and checks nothing: a check would wait for a GPU."""
    for name in names:
        augmentation, full = AUGMENTATIONS[name], parameters[name]
        neutral = augmentation.neutral
        parameter = neutral + shares[name] * (full - neutral) if name in shares else full
        images = augmentation(images, parameter, rng)
    return images
