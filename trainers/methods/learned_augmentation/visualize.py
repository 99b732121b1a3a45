"""What a learned augmentation does, to look at: figures 3 and 4 of Lee et al."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np
import torch
from torch import Tensor

from allweather.runtimes.types import Image
from allweather.trainers.augmentations.learned.networks import (
    AugmentationNetwork,
    TransformParameters,
    TransformStage,
    code_dropout,
)
from allweather.trainers.augmentations.learned.transforms import flow_field
from allweather.trainers.data.batches import as_image, to_float
from allweather.trainers.data.dataset import Split

PICTURES, DRAWS, STEPS = 6, 8, 10
SEED = 3
FAR = 0.35  # of half of the picture: a move that is drawn in full color


def sample_augmentations(network: AugmentationNetwork, split: Split) -> Mapping[str, list[Image]]:
    """A few pictures as they are and under several draws of the dropout (figure 3), uint8 [h, w, 3] each.

    Args:
        network: on the CPU.
        split: pictures to show some of, evenly.
    """
    images, rng = to_float(_some(split, PICTURES)), torch.Generator().manual_seed(SEED)
    rows = {"picture": list(as_image(images))}
    with torch.no_grad():
        for draw in range(1, DRAWS + 1):
            rows[f"draw {draw}"] = list(as_image(network(images, rng)))
    return rows


def latent_traversal(network: AugmentationNetwork, split: Split) -> Mapping[str, list[Image]]:
    """One picture along a line from one code to another (figure 4), uint8 [h, w, 3] each, ten steps a row.

    Args:
        network: on the CPU.
        split: its first picture is shown.

    Returns:
        Rows by name: the picture; where pixels are taken from (hue is the direction, saturation how far); the warped
        picture; what is added to the colors, around gray; the result. A network without a head has no rows of it.
    """
    rng = torch.Generator().manual_seed(SEED)
    images = to_float(split.images[:1]).expand(STEPS, -1, -1, -1)
    rows = {"picture": list(as_image(images))}
    share = torch.linspace(0, 1, STEPS)[:, None]
    with torch.no_grad():
        for part in network.parts:
            assert isinstance(part, TransformStage)
            code = part.encode(images)
            first, last = (code_dropout(code[:1], rng).expand_as(code) for _ in range(2))
            fields = part.decode(first + share * (last - first))
            warped, done = fields.apply(images)
            if "spatial" in part.heads:
                rows |= {"warp": _directions(fields, images), "warped": list(as_image(warped))}
            if "appearance" in part.heads:
                rows["colors"] = list(as_image((0.5 + 1.5 * (done - warped)).clamp(0, 1)))
            images = done
    return rows | {"result": list(as_image(images))}


def _some(split: Split, count: int) -> Tensor:
    return split.images[torch.linspace(0, len(split) - 1, min(count, len(split))).long()]


def _directions(fields: TransformParameters, images: Tensor) -> list[Image]:
    """A color for each pixel: hue for the direction it is taken from, saturation for how far away."""
    side = (images.shape[2], images.shape[3])
    weight, bias = fields.weights["spatial"], fields.biases["spatial"]
    still = flow_field(torch.zeros_like(weight), torch.zeros_like(bias), side)
    moves = (flow_field(weight, bias, side) - still).numpy()
    hue = np.mod(np.degrees(np.arctan2(moves[..., 1], moves[..., 0])), 360) / 2  # cv2 counts two degrees as one
    far = np.clip(np.hypot(moves[..., 0], moves[..., 1]) / FAR, 0, 1) * 255
    colored = np.stack([hue, far, np.full_like(far, 255)], -1).astype(np.uint8)
    return [np.asarray(cv2.cvtColor(each, cv2.COLOR_HSV2RGB), np.uint8) for each in colored]
