"""Images for INT8 calibration and the parity gate: draws, corrupts, brightens and darkens them."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
import torch

from allweather.runtimes.bundle.manifest import Calibration
from allweather.runtimes.errors import DataError
from allweather.runtimes.types import Image
from allweather.trainers.corruptions.catalogue import COMMON, corrupt_images
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.steps.arguments import check_argument

log = logging.getLogger(__name__)

CALIBRATION_IMAGES = 512  # NVIDIA asks for 500
ENOUGH_CALIBRATION_IMAGES = 300  # NNCF's statistics no longer change after so many
MIN_CALIBRATION_IMAGES = 32
SEED = 11
SEVERITY = 3  # the middle of 1..5
BRIGHT, DARK = 0.6, 0.4  # share of the contrast that is left: enough for a model to have something to lose


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

    A warning says so if there are fewer images than the ranges need. Those that cannot be read are left out.

    Args:
        dataset: Data set with a training split.

    Raises:
        DataError: The training split has fewer than 32 images.
    """
    check_argument("dataset", dataset, Dataset)
    order = torch.randperm(len(dataset.train), generator=torch.Generator().manual_seed(SEED))
    chosen = dataset.train.take(order[:CALIBRATION_IMAGES]).loaded()
    count = len(chosen)
    if count < MIN_CALIBRATION_IMAGES:
        raise DataError(
            f"INT8 needs at least {MIN_CALIBRATION_IMAGES} training images for calibration; {dataset.name} has "
            f"{count}: add images, or export in another precision, such as --precision fp32"
        )
    if count < ENOUGH_CALIBRATION_IMAGES:
        log.warning(
            "INT8 is calibrated on %d training images, all there are; its ranges are only stable from about %d on",
            count, ENOUGH_CALIBRATION_IMAGES,
        )  # fmt: skip
    provenance = Calibration(data=dataset.name, split="train", images=count, seed=SEED, corrupted=count // 2)
    return CalibrationSet(corrupt_every_second(chosen.images.numpy()), provenance)


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
            out[every_15th] = corrupt_images(out[every_15th], name, SEVERITY, np.random.default_rng(index))
    return out


def brighten(images: Image) -> Image:
    """Returns a copy that is washed out, as in snow or against the sun: everything moves towards white.

    Args:
        images: uint8 [n, h, w, 3], RGB.
    """
    return np.asarray(255 - BRIGHT * (255.0 - images.astype(np.float32)) + 0.5, np.uint8)


def darken(images: Image) -> Image:
    """Returns a copy that is dark, as at night: everything moves towards black.

    Args:
        images: uint8 [n, h, w, 3], RGB.
    """
    return np.asarray(DARK * images.astype(np.float32) + 0.5, np.uint8)
