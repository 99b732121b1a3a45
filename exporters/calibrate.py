"""Pictures to calibrate on: which ones, and where they come from, so that the bundle can say it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from allweather.runtimes.errors import DataError
from allweather.runtimes.manifest import Calibration
from allweather.trainers.splits import Dataset

PICTURES = 512  # NNCF's statistics settle by 300; NVIDIA asks for 500
LEAST = 32
SEED = 11


@dataclass(frozen=True)
class CalibrationSet:
    """Prepared training pictures, uint8 [n, h, w, 3], and their provenance."""

    images: npt.NDArray[np.uint8]
    provenance: Calibration


def calibration_set(dataset: Dataset) -> CalibrationSet:
    """Draws pictures from the training split.

    Raises:
        DataError: there are too few to calibrate on.
    """
    count = min(PICTURES, len(dataset.train))
    if count < LEAST:
        raise DataError(f"INT8 needs at least {LEAST} training pictures to calibrate on; {dataset.name} has {count}")
    chosen = torch.randperm(len(dataset.train), generator=torch.Generator().manual_seed(SEED))[:count]
    provenance = Calibration(data=dataset.name, split="train", images=count, seed=SEED)
    return CalibrationSet(dataset.train.images[chosen].numpy(), provenance)
