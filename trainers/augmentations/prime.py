"""The three primitives of PRIME (Modas et al. 2022, arXiv:2112.13547) on whole batches, with draws for each image.

Each is a random smooth function with the greatest entropy for a given strength: a filter in the frequencies, a curve
of the colors, and a warp of the plane. The settings are those of its authors for CIFAR-10.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from allweather.trainers.augmentations.chains import ChainMixture, Operation

FILTER_SIDE = 3  # pixels
MAX_FILTER_DEVIATION = 4.0  # of the coefficients of a filter
MAX_COLOR_FREQUENCY = 100  # half periods of a color curve between black and white
MAX_COLOR_VARIANCE = 0.01  # of the amplitude of each frequency
COLOR_LEVELS = 1024  # entries of the table that holds a color curve; a period of the highest frequency has 20
LEAST_CUT, GREATEST_CUT = 2, 100  # half periods of a warp along the side


def random_filter(images: Tensor, rng: torch.Generator) -> Tensor:
    """Convolves each image with an identity kernel of 3 x 3 pixels plus normal coefficients; black comes from outside.

    Their standard deviation is uniform in 0..4, so many results are far from natural images; chains are mixed with the
    clean image.
    """
    count = len(images)
    deviation = MAX_FILTER_DEVIATION * _uniform(images, rng)
    shape = (count, 1, FILTER_SIDE, FILTER_SIDE)
    kernels = deviation * torch.randn(shape, generator=rng, device=images.device, dtype=images.dtype)
    kernels[..., FILTER_SIDE // 2, FILTER_SIDE // 2] += 1
    filtered = functional.conv2d(images.transpose(0, 1), kernels, padding=FILTER_SIDE // 2, groups=count)
    return filtered.transpose(0, 1).clamp(0, 1)


def random_color(images: Tensor, rng: torch.Generator) -> Tensor:
    """Changes the values v of each channel of each image to v + sum_k a_k sin(pi k v), with normal amplitudes a_k.

    Their number is uniform in 1..100, and their variance in 0..0.01. The curve is tabulated, so an image costs a lookup
    for each of its values.
    """
    count, channels = images.shape[:2]
    options = {"device": images.device, "dtype": images.dtype}
    frequencies = torch.arange(1, MAX_COLOR_FREQUENCY + 1, **options)  # type: ignore[call-overload]
    values = torch.linspace(0, 1, COLOR_LEVELS, **options)  # type: ignore[call-overload]
    highest = (MAX_COLOR_FREQUENCY * _uniform(images, rng)[..., 0]).floor() + 1
    deviation = (MAX_COLOR_VARIANCE * _uniform(images, rng)[..., 0]).sqrt()
    normal = torch.randn((count, channels, MAX_COLOR_FREQUENCY), generator=rng, **options)  # type: ignore[call-overload]
    amplitudes = normal * deviation * (frequencies <= highest)
    curves = (amplitudes @ torch.sin(math.pi * frequencies[:, None] * values) + values).clamp(0, 1)
    levels = (images * (COLOR_LEVELS - 1)).round().long().flatten(2)
    changed: Tensor = curves.gather(2, levels).reshape(images.shape)
    return changed


def random_warp(images: Tensor, rng: torch.Generator) -> Tensor:
    """Moves the pixels of each image by a smooth random field that is 0 at the border (Petrini et al. 2021).

    Each component of the field is sum_ij c_ij sin(pi i x) sin(pi j y) with normal c_ij of variance T / (i^2 + j^2), for
    all i^2 + j^2 below the square of a cut. The temperature T lies between that of a displacement of half a pixel and
    that at which the field would fold the plane. Frequencies that the pixels cannot show are left out.
    """
    count, _, height, width = images.shape
    greatest = LEAST_CUT + 1 + (_uniform(images, rng) * (GREATEST_CUT - LEAST_CUT)).floor()
    cut = LEAST_CUT + ((greatest + 1 - LEAST_CUT) * _extreme(images, rng)).floor().clamp(max=GREATEST_CUT - LEAST_CUT)
    half_a_pixel = 1 / (math.pi * min(height, width) ** 2 * cut.log())
    folding = 4 / (math.pi**3 * cut**2 * cut.log())
    temperature = half_a_pixel + (folding - half_a_pixel).clamp(min=0) * _extreme(images, rng)
    rows, columns = _modes(height, images), _modes(width, images)
    radius = (torch.arange(1, len(rows) + 1)[:, None] ** 2 + torch.arange(1, len(columns) + 1) ** 2).sqrt()
    radius = radius.to(images.device, images.dtype)
    shape = (count, 2, *radius.shape)
    normal = torch.randn(shape, generator=rng, device=images.device, dtype=images.dtype)
    field = rows.T @ (normal * temperature.sqrt() * (radius < cut + 0.5) / radius) @ columns
    identity = torch.eye(2, 3, device=images.device, dtype=images.dtype)[None]
    grid = functional.affine_grid(identity, [1, 1, height, width], align_corners=False)
    # the field is in sides of the image, and a side of the grid is 2 long
    return functional.grid_sample(images, grid - 2 * field.movedim(1, -1), "bilinear", "border", align_corners=False)


def _modes(pixels: int, images: Tensor) -> Tensor:
    """Returns sin(pi k x) at the pixels of a side, [k, pixels], for all frequencies that they can show."""
    positions = torch.linspace(0, 1, pixels, device=images.device, dtype=images.dtype)
    frequencies = torch.arange(1, min(GREATEST_CUT, pixels) + 1, device=images.device, dtype=images.dtype)
    return torch.sin(math.pi * frequencies[:, None] * positions)


def _uniform(images: Tensor, rng: torch.Generator) -> Tensor:
    """Draws a number in 0..1 for each image, [n, 1, 1, 1]."""
    return torch.rand(len(images), 1, 1, 1, generator=rng, device=images.device, dtype=images.dtype)


def _extreme(images: Tensor, rng: torch.Generator) -> Tensor:
    """Draws a number in 0..1 from Beta(1/2, 1/2), whose density is highest at both ends, [n, 1, 1, 1]."""
    return torch.sin(math.pi / 2 * _uniform(images, rng)) ** 2


PRIME_OPERATIONS = (Operation(random_filter), Operation(random_color), Operation(random_warp))
PRIME = ChainMixture("prime", PRIME_OPERATIONS)
