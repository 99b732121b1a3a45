"""The augmentation network: E encodes each image as a code tau, and G turns a code into a warp and a color change.

E and G have five convolutions each and a code of 128 numbers, as in Lee et al., section 5.2. The randomness comes from
a dropout of half of the code. Two bounds are added here. The parameters that G returns are limited, so that an image
keeps its label, which the paper assumes. The last layer of G is normalized over each batch, so that G can
choose which image is changed in which way, but cannot change all images in the same way; the influence objective alone
led to that (docs/results/learned-augmentation.md).
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
# For each mode, its stages in the order in which they are applied, and the heads of each stage.
STAGE_HEADS: Mapping[AugmentationMode, tuple[tuple[Head, ...], ...]] = MappingProxyType(
    {
        "parallel": (("spatial", "appearance"),),
        "serial": (("spatial",), ("appearance",)),
        "spatial": (("spatial",),),
        "appearance": (("appearance",),),
    }
)
# For each head, the number of channels of its weight and of its bias (sections 4.1 and 4.2).
CHANNELS: Mapping[Head, tuple[int, int]] = MappingProxyType({"spatial": (4, 2), "appearance": (9, 3)})
# Largest absolute weight and bias; kept in the file with the weights of the network. Coordinates go from -1 to 1 over
# the image, colors from 0 to 1.
WARP_LIMITS = (0.25, 0.15)
COLOR_LIMIT = 0.08  # of both; a network may have another
CODE_SIZE = 128
DROPOUT = 0.5
SIDE = 32  # side in pixels of the images that E takes, and of the maps that G makes before pooling
# Sides of the maps after pooling. 1 is one warp and one color change for the whole image; 8 is the paper's average
# pooling by 4 x 4 (sections 4.1 and 4.2), which let the warp fold (docs/results/learned-augmentation.md).
GRIDS = (1, 4, 8)
LEAKY_SLOPE = 0.2


@dataclass(frozen=True)
class TransformParameters:
    """The parameters of the warp and of the color change, as G returns them for a batch.

    Attributes:
        weights: Weight of each head, float32 [n, 4 or 9, g, g] on a grid of g x g points, within the head's limits.
        biases: Bias of each head, float32 [n, 2 or 3, g, g], within the head's limits.
    """

    weights: Mapping[Head, Tensor]
    biases: Mapping[Head, Tensor]

    def apply(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the warped images, and the warped images with changed colors; both float32 [n, 3, h, w] in 0..1."""
        warped = images = images.float()  # the parameters are float32 even where the training loop passes bf16
        if "spatial" in self.weights:
            size = (images.shape[2], images.shape[3])
            warped = warp(images, flow_field(self.weights["spatial"], self.biases["spatial"], size))
        if "appearance" not in self.weights:
            return warped, warped
        return warped, recolor(warped, self.weights["appearance"], self.biases["appearance"])


class TransformStage(nn.Module):
    """One encoder E and one generator G.

    Args:
        heads: The transforms that G returns parameters for. They share all layers; each has its own channels of the
            last one.
        grid: Side of the grid of parameters, one of `GRIDS`.
        color_limit: Largest absolute weight and bias of the color change, above 0.
    """

    def __init__(self, heads: tuple[Head, ...], grid: int = 1, color_limit: float = COLOR_LIMIT) -> None:
        super().__init__()
        self.heads = heads
        limits: Mapping[Head, tuple[float, float]] = {"spatial": WARP_LIMITS, "appearance": (color_limit, color_limit)}
        for head in heads:
            self.register_buffer(f"{head}_limits", torch.tensor(limits[head]))
        self.encoder = nn.Sequential(
            *_downsample(3, 32),
            *_downsample(32, 64),
            *_downsample(64, 64),
            *_downsample(64, 128),
            nn.Conv2d(128, CODE_SIZE, 2),
            nn.Flatten(),
        )
        output_shape = (sum(sum(CHANNELS[head]) for head in heads), grid, grid)
        self.generator = nn.Sequential(
            *_upsample(CODE_SIZE, 128),
            *_upsample(128, 64),
            *_upsample(64, 64),
            *_upsample(64, 32),
            _transposed_convolution(32, output_shape[0]),
            nn.AdaptiveAvgPool2d(grid),
            nn.Flatten(),
            nn.BatchNorm1d(math.prod(output_shape), affine=False),
            nn.Unflatten(1, output_shape),
        )

    def encode(self, images: Tensor) -> Tensor:
        """Maps images, float [n, 3, h, w] in 0..1, to codes, float [n, 128], with a mean square of 1."""
        if images.shape[2:] != (SIDE, SIDE):
            # float32, because antialiased resizing of bf16 does not exist on a CPU
            images = functional.interpolate(images.float(), (SIDE, SIDE), mode="bilinear", antialias=True)
        return functional.rms_norm(self.encoder(2 * images - 1), (CODE_SIZE,))

    def decode(self, code: Tensor) -> TransformParameters:
        """Maps codes, float [n, 128], to the parameters of the transforms."""
        maps = self.generator(code[:, :, None, None]).float()  # in bf16 a pixel would move by more than one at 224 px
        channels = [count for head in self.heads for count in CHANNELS[head]]
        parts = iter(maps.split(channels, 1))
        weights: dict[Head, Tensor] = {}
        biases: dict[Head, Tensor] = {}
        for head in self.heads:
            max_weight, max_bias = self.limits(head)
            weights[head] = max_weight * torch.tanh(next(parts))
            biases[head] = max_bias * torch.tanh(next(parts))
        return TransformParameters(weights, biases)

    def limits(self, head: Head) -> Tensor:
        """Returns the largest absolute weight and bias of a head, float [2]."""
        return self.get_buffer(f"{head}_limits")


class AugmentationNetwork(nn.Module):
    """Augments each image of a batch in its own random way. In training mode a batch has at least two images.

    Args:
        mode: "parallel": one stage makes the warp and the color change. "serial": one stage makes the warp and a second
            one the color change. "spatial" or "appearance": a single stage makes only the warp or the color change.
        grid: Side of the grid on which an image has parameters of its own, one of `GRIDS`; they are interpolated to a
            warp and a color change of each pixel.
        color_limit: Largest absolute weight and bias of the color change, above 0. A network that gets the weights of
            another one gets its limits, too.
    """

    def __init__(self, mode: AugmentationMode, grid: int = 1, color_limit: float = COLOR_LIMIT) -> None:
        super().__init__()
        self.mode = mode
        self.parts = nn.ModuleList(TransformStage(heads, grid, color_limit) for heads in STAGE_HEADS[mode])

    def forward(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """Augments a batch.

        Args:
            images: float [n, 3, h, w] in 0..1.
            rng: Random generator of the dropout, on the device of the images.

        Returns:
            Augmented images, float32 of the same shape, in 0..1. Gradients reach the images and the weights.
        """
        for stage in self.parts:
            assert isinstance(stage, TransformStage)
            images = stage.decode(code_dropout(stage.encode(images), rng)).apply(images)[1]
        return images


def code_dropout(code: Tensor, rng: torch.Generator) -> Tensor:
    """Sets a random half of the numbers in a code to 0 and doubles the rest; unlike nn.Dropout it draws from `rng`."""
    kept = torch.rand(code.shape, generator=rng, device=code.device) >= DROPOUT
    return code * kept / (1 - DROPOUT)


def _downsample(channels_in: int, channels: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(channels_in, channels, 4, 2, 1), nn.GroupNorm(8, channels), nn.LeakyReLU(LEAKY_SLOPE)


def _upsample(channels_in: int, channels: int) -> tuple[nn.Module, ...]:
    return _transposed_convolution(channels_in, channels), nn.LeakyReLU(LEAKY_SLOPE)


def _transposed_convolution(channels_in: int, channels: int) -> nn.Module:
    """Returns a layer that doubles the side of a feature map.

    Each output is a sum over four of the 16 positions of the 4 x 4 kernel. The initial weights take account of that, so
    that the values keep their scale from layer to layer up to the last normalization.
    """
    layer = nn.ConvTranspose2d(channels_in, channels, 4, 2, 1, bias=False)
    nn.init.normal_(layer.weight, std=(2 / (1 + LEAKY_SLOPE**2) / (4 * channels_in)) ** 0.5)
    return layer
