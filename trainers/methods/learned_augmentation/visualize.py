"""Images that show what a learned augmentation does: figures 3 and 4 of Lee et al."""

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
from allweather.trainers.data.batches import to_float, to_uint8
from allweather.trainers.data.dataset import LabeledImages

NUM_IMAGES, NUM_DRAWS, NUM_STEPS = 6, 8, 10
SEED = 3
FULL_COLOR_DISTANCE = 0.35  # displacement that is drawn at full saturation, in units of half an image side


def sample_augmentations(network: AugmentationNetwork, split: LabeledImages) -> Mapping[str, list[Image]]:
    """Augments a few images with several draws of the dropout (figure 3).

    Args:
        network: The augmentation network, on the CPU.
        split: Images, of which some are used, evenly spaced.

    Returns:
        Rows of images by name, uint8 [h, w, 3] each: the unchanged images, then one row for each draw.
    """
    images, rng = to_float(_evenly_spaced(split, NUM_IMAGES)), torch.Generator().manual_seed(SEED)
    rows = {"image": list(to_uint8(images))}
    with torch.no_grad():
        for draw in range(1, NUM_DRAWS + 1):
            rows[f"draw {draw}"] = list(to_uint8(network(images, rng)))
    return rows


def latent_traversal(network: AugmentationNetwork, split: LabeledImages) -> Mapping[str, list[Image]]:
    """Augments one image with codes on the line from one draw to another (figure 4).

    Args:
        network: The augmentation network, on the CPU.
        split: The first image is used.

    Returns:
        Rows of ten images by name, uint8 [h, w, 3] each. "image": unchanged. "warp": where each pixel is taken from
        (the hue is the direction, the saturation the distance). "warped": after the warp. "colors": what is added to
        the colors, around gray. "result": after both. A network without a warp or a color change lacks these rows.
    """
    rng = torch.Generator().manual_seed(SEED)
    images = to_float(_evenly_spaced(split, NUM_IMAGES)[:1]).expand(NUM_STEPS, -1, -1, -1)
    rows = {"image": list(to_uint8(images))}
    position = torch.linspace(0, 1, NUM_STEPS)[:, None]
    with torch.no_grad():
        for stage in network.parts:
            assert isinstance(stage, TransformStage)
            code = stage.encode(images)
            first, last = (code_dropout(code[:1], rng).expand_as(code) for _ in range(2))
            parameters = stage.decode(first + position * (last - first))
            warped, augmented = parameters.apply(images)
            if "spatial" in stage.heads:
                rows |= {"warp": _warp_colors(parameters, images), "warped": list(to_uint8(warped))}
            if "appearance" in stage.heads:
                rows["colors"] = list(to_uint8((0.5 + 1.5 * (augmented - warped)).clamp(0, 1)))
            images = augmented
    return rows | {"result": list(to_uint8(images))}


def _evenly_spaced(split: LabeledImages, count: int) -> Tensor:
    """Returns some images, uint8 [<= count, h, w, 3]; those that cannot be read are left out."""
    return split.take(torch.linspace(0, len(split) - 1, min(count, len(split))).long()).loaded().images


def _warp_colors(parameters: TransformParameters, images: Tensor) -> list[Image]:
    """Returns a color for each pixel: the hue is the direction it is taken from, the saturation the distance."""
    size = (images.shape[2], images.shape[3])
    weight, bias = parameters.weights["spatial"], parameters.biases["spatial"]
    identity = flow_field(torch.zeros_like(weight), torch.zeros_like(bias), size)
    offsets = (flow_field(weight, bias, size) - identity).numpy()
    hue = np.mod(np.degrees(np.arctan2(offsets[..., 1], offsets[..., 0])), 360) / 2  # a unit of cv2's hue is 2 degrees
    saturation = np.clip(np.hypot(offsets[..., 0], offsets[..., 1]) / FULL_COLOR_DISTANCE, 0, 1) * 255
    hsv = np.stack([hue, saturation, np.full_like(saturation, 255)], -1).astype(np.uint8)
    return [np.asarray(cv2.cvtColor(image, cv2.COLOR_HSV2RGB), np.uint8) for image in hsv]
