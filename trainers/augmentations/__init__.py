"""Augmentations: photometric ones and their strengths, corruptions, augmented copies for training, random variants."""

from __future__ import annotations

from allweather.trainers.augmentations.corrupted import CORRUPTED_AUGMIX, CorruptionAugmentation
from allweather.trainers.augmentations.pairing import (
    Augmentation,
    CombinedAugmentation,
    IndividualAugmentation,
    MixedAugmentation,
    TorchvisionAugmentation,
)
from allweather.trainers.augmentations.photometric import (
    AUGMENTATIONS,
    COMBINATIONS,
    TABLE_ROWS,
    PhotometricAugmentation,
    augment,
    row_augmentations,
)
from allweather.trainers.augmentations.strengths import (
    AugmentationStrengths,
    Strength,
    augmentation_strengths,
    augmented_accuracy,
    augmented_correct,
    find_strengths,
)
from allweather.trainers.augmentations.variants import Variant, parse_variants

__all__ = [
    "AUGMENTATIONS",
    "COMBINATIONS",
    "CORRUPTED_AUGMIX",
    "TABLE_ROWS",
    "Augmentation",
    "AugmentationStrengths",
    "CombinedAugmentation",
    "CorruptionAugmentation",
    "IndividualAugmentation",
    "MixedAugmentation",
    "PhotometricAugmentation",
    "Strength",
    "TorchvisionAugmentation",
    "Variant",
    "augment",
    "augmentation_strengths",
    "augmented_accuracy",
    "augmented_correct",
    "find_strengths",
    "parse_variants",
    "row_augmentations",
]
