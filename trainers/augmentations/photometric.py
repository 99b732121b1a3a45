"""Photometric augmentations of the FMA paper (Kapoor et al., section 4.2), in batches.

Each has one parameter, which calibration chooses for a classifier; a neutral one leaves a picture as it is. First comes
what light does, then what a lens does, then what a sensor does; the paper leaves the order open.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor
from torch.nn import functional

from allweather.runtimes.errors import unknown_name

SALT = 0.5  # share of salt among salt and pepper: q of table 1, CIFAR-10
GRAIN = 0.5  # what salt adds and pepper takes away: rho of table 1, CIFAR-10
TINY = 1e-6


@dataclass(frozen=True)
class PhotometricAugmentation:
    """One kind of distortion.

    Attributes:
        name: of the kind.
        symbol: in the paper's tables.
        parameter: what its parameter is called there.
        neutral: the parameter that changes nothing.
        limit: the parameter beyond which nothing more changes, or nothing is left to see.
        paper: what costs the paper's VGG-16 about 10 points on CIFAR-10 (table 1).
        apply: (float [n, 3, h, w] in 0..1, parameters [n, 1, 1, 1], draws like the pictures or None) -> the same
            shape, not clipped yet.
        draw: fills a tensor with the random numbers it needs; None where there is no chance in it.
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
        """Distorts a batch.

        Args:
            images: float [n, 3, h, w] in 0..1.
            parameter: one for all, or one a picture, [n].
            rng: on the device of the images.

        Returns:
            The same shape and type, in 0..1; gradients reach `images` where it was not clipped.
        """
        each = torch.as_tensor(parameter, dtype=images.dtype, device=images.device).reshape(-1, 1, 1, 1)
        draws = self.draw(torch.empty_like(images, requires_grad=False), rng) if self.draw else None
        return self.apply(images, each, draws).clamp(0, 1)


def brighten(images: Tensor, delta: Tensor, draws: Tensor | None = None) -> Tensor:
    """Adds the same to each color."""
    return images + delta


def saturate(images: Tensor, alpha: Tensor, draws: Tensor | None = None) -> Tensor:
    """Multiplies the saturation of hue, saturation and luminance (HSL) by alpha, up to full saturation.

    At constant hue and luminance l a color moves on a line through gray: c -> l + (c - l) s' / s, so there is no need
    for angles.
    """
    low, high = images.amin(1, keepdim=True), images.amax(1, keepdim=True)
    light, chroma = (low + high) / 2, high - low
    full = (1 - (2 * light - 1).abs()) / chroma.clamp(min=TINY)  # the factor that leads to saturation 1
    return light + (images - light) * torch.minimum(alpha, full.clamp(min=1))


def blur(images: Tensor, sigma: Tensor, draws: Tensor | None = None) -> Tensor:
    """Convolves with a Gaussian of 3 x 3 pixels (s of table 1), mirrored at the border."""
    side = torch.exp(-0.5 / sigma.clamp(min=TINY) ** 2)
    center, side = 1 / (1 + 2 * side), side / (1 + 2 * side)
    padded = functional.pad(images, (1, 1, 1, 1), mode="reflect")
    rows = center * padded[:, :, 1:-1] + side * (padded[:, :, :-2] + padded[:, :, 2:])
    return center * rows[..., 1:-1] + side * (rows[..., :-2] + rows[..., 2:])


def add_noise(images: Tensor, sigma: Tensor, draws: Tensor | None) -> Tensor:
    """Adds normal noise of deviation sigma to each value."""
    assert draws is not None
    return images + sigma * draws


def add_salt_and_pepper(images: Tensor, probability: Tensor, draws: Tensor | None) -> Tensor:
    """Adds +0.5 or -0.5 to each value with the given probability, as bit errors in transmission do."""
    assert draws is not None
    salt, pepper = draws < SALT * probability, draws > 1 - (1 - SALT) * probability
    return images + GRAIN * (salt.to(images.dtype) - pepper.to(images.dtype))


def _normal(room: Tensor, rng: torch.Generator) -> Tensor:
    # along the memory: torch fills a tensor that does not lie in order value by value, nine times as slowly
    room.as_strided((room.numel(),), (1,)).normal_(generator=rng)
    return room


def _uniform(room: Tensor, rng: torch.Generator) -> Tensor:
    return room.uniform_(generator=rng)


AUGMENTATIONS: Mapping[str, PhotometricAugmentation] = MappingProxyType(
    {
        each.name: each
        for each in (
            PhotometricAugmentation("brightness+", "B+", "delta", 0, 1, 0.39, brighten),
            PhotometricAugmentation("brightness-", "B-", "delta", 0, -1, -0.36, brighten),
            PhotometricAugmentation("saturation+", "S+", "alpha", 1, 256, 6.0, saturate),
            PhotometricAugmentation("saturation-", "S-", "alpha", 1, 0, 0.0, saturate),
            PhotometricAugmentation("gaussian_blur", "GB", "sigma", 0, 8, 0.675, blur),
            PhotometricAugmentation("gaussian_noise", "GN", "sigma", 0, 1, 0.075, add_noise, _normal),
            PhotometricAugmentation("salt_and_pepper", "SAP", "p", 0, 1, 0.025, add_salt_and_pepper, _uniform),
        )
    }
)
WITHOUT_INVERSE = ("gaussian_blur", "gaussian_noise", "salt_and_pepper")  # they have no inverse among the others
COMBINATIONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "combined+": ("brightness+", "saturation+", *WITHOUT_INVERSE),
        "combined-": ("brightness-", "saturation-", *WITHOUT_INVERSE),
    }
)
TABLE_ROWS = (*AUGMENTATIONS, *COMBINATIONS)  # of the paper's table 3, after clean


def row_augmentations(name: str) -> tuple[str, ...]:
    """The augmentations that a row of table 3 stands for: itself, or the five of a combination.

    Raises:
        UsageError: there is no such row.
    """
    if name not in TABLE_ROWS:
        raise unknown_name("augmentation", name, TABLE_ROWS)
    return COMBINATIONS.get(name, (name,))


def augment(
    images: Tensor,
    names: Sequence[str],
    parameters: Mapping[str, float],
    rng: torch.Generator,
    shares: Mapping[str, Tensor] = MappingProxyType({}),
) -> Tensor:
    """Applies augmentations one after the other, clipping after each (eq. 2 and 7).

    Args:
        images: float [n, 3, h, w] in 0..1.
        names: of `AUGMENTATIONS`, in this order.
        parameters: of each of them.
        rng: on the device of the images.
        shares: float [n] in 0..1 by name: how far to go from the neutral parameter to the given one, for each
            picture; all the way where a name is missing.

    Returns:
        The same shape, in 0..1.
    """
    for name in names:
        kind, parameter = AUGMENTATIONS[name], parameters[name]
        each = kind.neutral + shares[name] * (parameter - kind.neutral) if name in shares else parameter
        images = kind(images, each, rng)
    return images
