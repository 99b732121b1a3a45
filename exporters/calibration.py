"""Images for INT8 calibration: draws them from the training split and records where they come from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from allweather.runtimes.bundle.manifest import Calibration
from allweather.runtimes.errors import DataError
from allweather.runtimes.types import Image
from allweather.trainers.corruptions.catalogue import COMMON, corrupt
from allweather.trainers.data.dataset import Dataset

CALIBRATION_IMAGES = 512  # NNCF's statistics no longer change after 300 images; NVIDIA asks for 500
MIN_CALIBRATION_IMAGES = 32
SEED = 11
SEVERITY = 3  # the middle of 1..5


@dataclass(frozen=True)
class CalibrationSet:
    """Images for INT8 calibration.

    Attributes:
        images: Prepared training images, uint8 [n, h, w, 3], RGB.
        provenance: Which data they come from, as the manifest records it.
    """

    images: Image
    provenance: Calibration


def calibration_set(dataset: Dataset) -> CalibrationSet:
    """Draws calibration images from the training split and corrupts every second one.

    Because of the corrupted images, the INT8 ranges are wide enough for bad weather as well.

    Args:
        dataset: Data set with a training split.

    Raises:
        DataError: The training split has fewer than 32 images.
    """
    count = min(CALIBRATION_IMAGES, len(dataset.train))
    if count < MIN_CALIBRATION_IMAGES:
        raise DataError(
            f"INT8 needs at least {MIN_CALIBRATION_IMAGES} training images for calibration; {dataset.name} has {count}"
        )
    chosen = torch.randperm(len(dataset.train), generator=torch.Generator().manual_seed(SEED))[:count]
    provenance = Calibration(data=dataset.name, split="train", images=count, seed=SEED, corrupted=count // 2)
    return CalibrationSet(corrupt_every_second(dataset.train.images[chosen].numpy()), provenance)


def corrupt_every_second(images: Image) -> Image:
    """Returns a copy in which every second image, from index 1 on, is corrupted as `corrupt_all` does it.

    Args:
        images: uint8 [n, h, w, 3], RGB.
    """
    out: Image = images.copy()
    out[1::2] = corrupt_all(images[1::2])
    return out


def corrupt_all(images: Image) -> Image:
    """Returns a copy in which every image has one of the 15 common corruptions at severity 3; they take turns.

    Args:
        images: uint8 [n, h, w, 3], RGB.
    """
    out: Image = images.copy()
    for index, name in enumerate(COMMON):
        every_15th = slice(index, None, len(COMMON))
        if len(out[every_15th]):
            out[every_15th] = corrupt(out[every_15th], name, SEVERITY, np.random.default_rng(index))
    return out
