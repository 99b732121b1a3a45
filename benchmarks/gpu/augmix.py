"""AugMix (Hendrycks et al. 2020, arXiv:1912.02781) on whole batches on the device, with its own draws for each image.

An image is mixed with a random average of three chains of one to three operations. None of the operations is a
corruption of the benchmark: no noise, blur, brightness, contrast or saturation.

At each position of the chains a batch is divided at random into equal parts, one for each operation. An image so gets
each operation with the same probability, while each operation is computed only for the images that get it, and shapes
never depend on draws, which would make a GPU wait.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from allweather.trainers.tta.tensor_views import TENSOR_VIEWS

GRAY_LEVELS = 256
MAX_DEGREES, MAX_SHEAR, MAX_SHIFT = 30.0, 0.3, 1 / 3  # at full level; the shift is a share of the side
MAX_LEVEL = 10.0
LEAST_LEVEL = 0.1


@dataclass(frozen=True)
class AugMix:
    """An `Augmentation` that mixes each image with chains of random operations.

    Attributes:
        width: Chains for each image.
        depth: Operations in a chain, at most.
        level: Largest strength of an operation, above 0.1, at most 10; 3 as in the paper.
    """

    width: int = 3
    depth: int = 3
    level: float = 3.0

    def __call__(self, images: Tensor, epoch: int, rng: torch.Generator) -> Tensor:
        """Augments float [n, 3, h, w] in 0..1; see `Augmentation`."""
        count, device = len(images), images.device

        def uniform(*shape: int) -> Tensor:
            return torch.rand(shape, generator=rng, device=device)

        chains = images.repeat(self.width, 1, 1, 1)
        depths = torch.randint(1, self.depth + 1, (len(chains), 1, 1, 1), generator=rng, device=device)
        for position in range(self.depth):
            changed = torch.empty_like(chains)
            order = torch.randperm(len(chains), generator=rng, device=device)
            for rows, operation in zip(order.tensor_split(len(OPERATIONS)), OPERATIONS, strict=True):
                levels = LEAST_LEVEL + (self.level - LEAST_LEVEL) * uniform(len(rows), 1, 1, 1)
                signs = (uniform(len(rows), 1, 1, 1) < 0.5) * 2.0 - 1
                changed[rows] = operation(chains[rows], levels / MAX_LEVEL, signs)
            chains = torch.where(depths > position, changed, chains)
        weights = -uniform(self.width, count, 1, 1, 1).clamp(min=1e-7).log()  # of a Dirichlet distribution
        mixed = (weights / weights.sum(0) * chains.reshape(self.width, *images.shape)).sum(0)
        share = uniform(count, 1, 1, 1)
        out: Tensor = (1 - share) * images + share * mixed
        return out

    @property
    def resume_key(self) -> Mapping[str, Any]:
        """The name and the settings."""
        return {"strategy": "augmix on the device", **asdict(self)}


Operation = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(images float [n, 3, h, w] in 0..1, strengths in 0..1 and signs +-1, both [n, 1, 1, 1]) -> images of that shape."""


def autocontrast(images: Tensor, strength: Tensor, sign: Tensor) -> Tensor:
    """Stretches each channel to 0..1."""
    return TENSOR_VIEWS["autocontrast"](images)


def equalize(images: Tensor, strength: Tensor, sign: Tensor) -> Tensor:
    """Makes the values of each channel equally frequent, as Pillow's ImageOps.equalize does."""
    levels = (images * (GRAY_LEVELS - 1)).round().long().flatten(2)
    histogram = torch.zeros(*levels.shape[:2], GRAY_LEVELS, device=images.device)
    histogram.scatter_add_(2, levels, torch.ones_like(levels, dtype=histogram.dtype))
    last = histogram.gather(2, levels.amax(2, keepdim=True))
    step = ((histogram.sum(2, keepdim=True) - last) / (GRAY_LEVELS - 1)).floor()
    before = histogram.cumsum(2) - histogram
    table = ((before + (step / 2).floor()) / step.clamp(min=1)).floor().clamp(0, GRAY_LEVELS - 1)
    table = torch.where(step > 0, table, torch.arange(GRAY_LEVELS, device=images.device, dtype=table.dtype))
    return (table.gather(2, levels) / (GRAY_LEVELS - 1)).reshape(images.shape)


def posterize(images: Tensor, strength: Tensor, sign: Tensor) -> Tensor:
    """Keeps the highest 4 bits of a value, and fewer at higher strengths."""
    step = 2 ** (4 + (4 * strength).floor())
    return ((images * (GRAY_LEVELS - 1)).round() / step).floor() * step / (GRAY_LEVELS - 1)


def solarize(images: Tensor, strength: Tensor, sign: Tensor) -> Tensor:
    """Inverts the values above a threshold, which falls with the strength."""
    return torch.where(images < 1 - strength, images, 1 - images)


def warp(kind: str, images: Tensor, strength: Tensor, sign: Tensor) -> Tensor:
    """Rotates, shears or shifts; what comes from outside of the image is black, as in the paper."""
    amount = (sign * strength).flatten()
    matrix = torch.eye(2, 3, device=images.device).repeat(len(images), 1, 1)
    if kind == "rotate":
        angle = math.radians(MAX_DEGREES) * amount
        matrix[:, 0, 0] = matrix[:, 1, 1] = angle.cos()
        matrix[:, 0, 1], matrix[:, 1, 0] = -angle.sin(), angle.sin()
    else:
        row, column = {"shear x": (0, 1), "shear y": (1, 0), "shift x": (0, 2), "shift y": (1, 2)}[kind]
        largest = MAX_SHEAR if kind.startswith("shear") else 2 * MAX_SHIFT  # positions go from -1 to 1
        matrix[:, row, column] = largest * amount
    grid = functional.affine_grid(matrix, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, "bilinear", "zeros", align_corners=False)


OPERATIONS: tuple[Operation, ...] = (
    autocontrast,
    equalize,
    posterize,
    solarize,
    *(partial(warp, kind) for kind in ("rotate", "shear x", "shear y", "shift x", "shift y")),
)
