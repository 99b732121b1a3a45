"""The augmentation network that is learned through influence functions (Lee et al., CVPR 2020), and its file."""

from __future__ import annotations

from allweather.trainers.augmentations.learned.augmentation import (
    AugmentationCheckpoint,
    LearnedAugmentation,
    load_augmentation,
    open_augmentation,
    save_augmentation,
)
from allweather.trainers.augmentations.learned.networks import AugmentationNetwork, TransformParameters

__all__ = [
    "AugmentationCheckpoint",
    "AugmentationNetwork",
    "LearnedAugmentation",
    "TransformParameters",
    "load_augmentation",
    "open_augmentation",
    "save_augmentation",
]
