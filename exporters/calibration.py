"""Pictures to calibrate on: which ones, and where they come from, so that the bundle can say it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from allweather.runtimes.bundle.manifest import Calibration
from allweather.runtimes.errors import DataError
from allweather.runtimes.types import Image
from allweather.trainers.corruptions.catalogue import COMMON, corrupt
from allweather.trainers.data.dataset import Dataset

PICTURES = 512  # NNCF's statistics settle by 300; NVIDIA asks for 500
LEAST = 32
SEED = 11
SEVERITY = 3


@dataclass(frozen=True)
class CalibrationSet:
    """Prepared training pictures, uint8 [n, h, w, 3], and their provenance."""

    images: Image
    provenance: Calibration


def calibration_set(dataset: Dataset) -> CalibrationSet:
    """Draws pictures from the training split, and corrupts every second one: ranges must hold in rain, too.

    Raises:
        DataError: there are too few to calibrate on.
    """
    count = min(PICTURES, len(dataset.train))
    if count < LEAST:
        raise DataError(f"INT8 needs at least {LEAST} training pictures to calibrate on; {dataset.name} has {count}")
    chosen = torch.randperm(len(dataset.train), generator=torch.Generator().manual_seed(SEED))[:count]
    provenance = Calibration(data=dataset.name, split="train", images=count, seed=SEED, corrupted=count // 2)
    return CalibrationSet(half_corrupted(dataset.train.images[chosen].numpy()), provenance)


def half_corrupted(images: Image) -> Image:
    """Every second picture as it is, the others through the 15 common corruptions in turn."""
    out: Image = images.copy()
    out[1::2] = corrupted(images[1::2])
    return out


def corrupted(images: Image) -> Image:
    """Each picture through one of the 15 common corruptions, in turn, at the middle severity."""
    out: Image = images.copy()
    for number, name in enumerate(COMMON):
        mine = slice(number, None, len(COMMON))
        if len(out[mine]):
            out[mine] = corrupt(out[mine], name, SEVERITY, np.random.default_rng(number))
    return out
