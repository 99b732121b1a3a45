"""The operations of AugMix (Hendrycks et al. 2020, arXiv:1912.02781) on whole batches, with draws for each image.

None of them is a corruption of the benchmark: no noise, blur, brightness, contrast or saturation. Their strength is
drawn from 0.1 to 3 on a scale to 10, as in the paper.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from allweather.trainers.augmentations.chains import ChainMixture, Operation
from allweather.trainers.tta.tensor_views import TENSOR_VIEWS

GRAY_LEVELS = 256
LEAST_STRENGTH, GREATEST_STRENGTH = 0.01, 0.3  # shares of the scale
MAX_DEGREES, MAX_SHEAR, MAX_SHIFT = 30.0, 0.3, 1 / 3  # at the end of the scale; a shift is a share of the side
WARPS = 5  # rotation, two shears, two shifts


def autocontrast(images: Tensor, rng: torch.Generator) -> Tensor:
    """Stretches each channel to 0..1."""
    return TENSOR_VIEWS["autocontrast"](images)


def equalize(images: Tensor, rng: torch.Generator) -> Tensor:
    """Makes the values of each channel equally frequent, as Pillow's ImageOps.equalize does."""
    levels = (images * (GRAY_LEVELS - 1)).round().long().flatten(2)
    histogram = torch.zeros(*levels.shape[:2], GRAY_LEVELS, device=images.device)
    histogram.scatter_add_(2, levels, torch.ones_like(levels, dtype=histogram.dtype))
    last = histogram.gather(2, levels.amax(2, keepdim=True))
    step = ((histogram.sum(2, keepdim=True) - last) / (GRAY_LEVELS - 1)).floor()
    before = histogram.cumsum(2) - histogram
    table = ((before + (step / 2).floor()) / step.clamp(min=1)).floor().clamp(0, GRAY_LEVELS - 1)
    unchanged = torch.arange(GRAY_LEVELS, device=images.device, dtype=table.dtype)
    table = torch.where(step > 0, table, unchanged).to(images.dtype) / (GRAY_LEVELS - 1)
    return table.gather(2, levels).reshape(images.shape)


def posterize(images: Tensor, rng: torch.Generator) -> Tensor:
    """Keeps the highest 4 bits of a value, or 3 at the greatest strengths."""
    step = 2 ** (4 + (4 * _strengths(images, rng)).floor())
    return ((images * (GRAY_LEVELS - 1)).round() / step).floor() * step / (GRAY_LEVELS - 1)


def solarize(images: Tensor, rng: torch.Generator) -> Tensor:
    """Inverts the values above a threshold, which falls with the strength."""
    return torch.where(images < 1 - _strengths(images, rng), images, 1 - images)


def warp(images: Tensor, rng: torch.Generator) -> Tensor:
    """Rotates, shears or shifts each image, all in one pass; what comes from outside is black, as in the paper."""
    count, device = len(images), images.device
    signs = (torch.rand(count, generator=rng, device=device, dtype=images.dtype) < 0.5) * 2 - 1
    amount = signs * _strengths(images, rng).flatten()
    kind = torch.randint(WARPS, (count,), generator=rng, device=device)
    angle = math.radians(MAX_DEGREES) * amount * (kind == 0)
    sines = angle.sin()
    matrix = torch.zeros(count, 2, 3, device=device, dtype=images.dtype)
    matrix[:, 0, 0] = matrix[:, 1, 1] = angle.cos()
    matrix[:, 0, 1] = MAX_SHEAR * amount * (kind == 1) - sines
    matrix[:, 1, 0] = MAX_SHEAR * amount * (kind == 2) + sines
    matrix[:, :, 2] = 2 * MAX_SHIFT * amount[:, None] * torch.stack([kind == 3, kind == 4], 1)  # a side has length 2
    grid = functional.affine_grid(matrix, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, "bilinear", "zeros", align_corners=False)


def _strengths(images: Tensor, rng: torch.Generator) -> Tensor:
    """Draws a strength for each image, as a share of the scale: [n, 1, 1, 1]."""
    uniform = torch.rand(len(images), 1, 1, 1, generator=rng, device=images.device, dtype=images.dtype)
    return LEAST_STRENGTH + (GREATEST_STRENGTH - LEAST_STRENGTH) * uniform


AUGMIX_OPERATIONS = (
    Operation(autocontrast),
    Operation(equalize),
    Operation(posterize),
    Operation(solarize),
    Operation(warp, WARPS),
)
AUGMIX = ChainMixture("augmix", AUGMIX_OPERATIONS)
