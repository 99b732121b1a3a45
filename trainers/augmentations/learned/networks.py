"""The augmentation network: E tells each picture's code tau, G turns a code into a warp and a change of colors.

Five convolutions each and a code of 128 numbers, as in Lee et al., section 5.2. Chance is a dropout of half of the
code. What G can ask for is bounded here, so that a picture keeps its label, which the paper takes for granted; and its
last layer is normalised over each batch, so that it can choose which picture gets what, but not change all of them in
the same way: that is what influence alone led to (docs/results/learned-augmentation.md).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from allweather.trainers.augmentations.learned.transforms import flow_field, recolor, warp
from allweather.trainers.choices import AugmentationMode as AugmentationMode

Head = Literal["spatial", "appearance"]
# the heads of each part, one part after the other
STAGE_HEADS: Mapping[AugmentationMode, tuple[tuple[Head, ...], ...]] = MappingProxyType(
    {
        "parallel": (("spatial", "appearance"),),
        "serial": (("spatial",), ("appearance",)),
        "spatial": (("spatial",),),
        "appearance": (("appearance",),),
    }
)
CHANNELS: Mapping[Head, tuple[int, int]] = MappingProxyType({"spatial": (4, 2), "appearance": (9, 3)})  # weight, bias
# of weight and bias, kept in the file; places go from -1 to 1 over the picture, colors from 0 to 1
LIMITS: Mapping[Head, tuple[float, float]] = MappingProxyType({"spatial": (0.25, 0.15), "appearance": (0.08, 0.08)})
CODE = 128
DROPOUT = 0.5
SIDE = 32  # that E sees, and G makes before pooling
GRID = 1  # after it; the paper pools by 4 x 4, which left room for folds (docs/results/learned-augmentation.md)
LEAKY_SLOPE = 0.2


@dataclass(frozen=True)
class TransformParameters:
    """What G asks for.

    Attributes:
        weights: of each head, float32 [n, 4 or 9, g, g] on a grid of g x g places, within its limits.
        biases: of each head, float32 [n, 2 or 3, g, g].
    """

    weights: Mapping[Head, Tensor]
    biases: Mapping[Head, Tensor]

    def apply(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The warped pictures, and those with their colors changed as well; float32 [n, 3, h, w] in 0..1."""
        warped = images = images.float()  # as the fields are, also where the loop hands over bf16
        if "spatial" in self.weights:
            side = (images.shape[2], images.shape[3])
            warped = warp(images, flow_field(self.weights["spatial"], self.biases["spatial"], side))
        if "appearance" not in self.weights:
            return warped, warped
        return warped, recolor(warped, self.weights["appearance"], self.biases["appearance"])


class TransformStage(nn.Module):
    """One E and one G.

    Args:
        heads: what G makes; the heads share all but the last layer's channels.
    """

    def __init__(self, heads: tuple[Head, ...]) -> None:
        super().__init__()
        self.heads = heads
        for head in heads:
            self.register_buffer(f"{head}_limits", torch.tensor(LIMITS[head]))
        self.encoder = nn.Sequential(
            *_down(3, 32), *_down(32, 64), *_down(64, 64), *_down(64, 128), nn.Conv2d(128, CODE, 2), nn.Flatten()
        )
        made = (sum(sum(CHANNELS[head]) for head in heads), GRID, GRID)
        self.generator = nn.Sequential(
            *_up(CODE, 128),
            *_up(128, 64),
            *_up(64, 64),
            *_up(64, 32),
            _widened(32, made[0]),
            nn.AdaptiveAvgPool2d(GRID),
            nn.Flatten(),
            nn.BatchNorm1d(math.prod(made), affine=False),
            nn.Unflatten(1, made),
        )

    def encode(self, images: Tensor) -> Tensor:
        """float [n, 3, h, w] in 0..1 -> codes, float [n, 128], of mean square 1."""
        if images.shape[2:] != (SIDE, SIDE):
            # float: on a CPU there is no antialiased bf16
            images = functional.interpolate(images.float(), (SIDE, SIDE), mode="bilinear", antialias=True)
        return functional.rms_norm(self.encoder(2 * images - 1), (CODE,))

    def decode(self, code: Tensor) -> TransformParameters:
        """float [n, 128] -> what to do."""
        maps = self.generator(code[:, :, None, None]).float()  # bf16 would move pixels by more than one at 224 px
        sizes = [size for head in self.heads for size in CHANNELS[head]]
        parts = iter(maps.split(sizes, 1))
        weights: dict[Head, Tensor] = {}
        biases: dict[Head, Tensor] = {}
        for head in self.heads:
            most, most_added = self.limits(head)
            weights[head] = most * torch.tanh(next(parts))
            biases[head] = most_added * torch.tanh(next(parts))
        return TransformParameters(weights, biases)

    def limits(self, head: Head) -> Tensor:
        """The most that a head's weight and bias can be; float [2]."""
        return self.get_buffer(f"{head}_limits")


class AugmentationNetwork(nn.Module):
    """Augments pictures, each in its own way and by chance; batches are of two or more while it learns.

    Args:
        mode: "parallel": one part makes warp and colors; "serial": a part for the warp, then one for the colors;
            "spatial" or "appearance": that one alone.
    """

    def __init__(self, mode: AugmentationMode) -> None:
        super().__init__()
        self.mode = mode
        self.parts = nn.ModuleList(TransformStage(heads) for heads in STAGE_HEADS[mode])

    def forward(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """Augments a batch.

        Args:
            images: float [n, 3, h, w] in 0..1.
            rng: on the device of the images; of the dropout.

        Returns:
            The same shape, in 0..1; gradients reach pictures and weights.
        """
        for part in self.parts:
            assert isinstance(part, TransformStage)
            images = part.decode(code_dropout(part.encode(images), rng)).apply(images)[1]
        return images


def code_dropout(code: Tensor, rng: torch.Generator) -> Tensor:
    """Codes with half of the numbers put to 0 and the others doubled."""
    kept = torch.rand(code.shape, generator=rng, device=code.device) >= DROPOUT
    return code * kept / (1 - DROPOUT)


def _down(taken: int, given: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(taken, given, 4, 2, 1), nn.GroupNorm(8, given), nn.LeakyReLU(LEAKY_SLOPE)


def _up(taken: int, given: int) -> tuple[nn.Module, ...]:
    return _widened(taken, given), nn.LeakyReLU(LEAKY_SLOPE)


def _widened(taken: int, given: int) -> nn.Module:
    """Twice the side; keeps the size of the numbers, in which four taps of 4 x 4 meet, for the normalisation's sake."""
    layer = nn.ConvTranspose2d(taken, given, 4, 2, 1, bias=False)
    nn.init.normal_(layer.weight, std=(2 / (1 + LEAKY_SLOPE**2) / (4 * taken)) ** 0.5)
    return layer
