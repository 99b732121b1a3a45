"""Test sets of corrupted images, generated in memory or stored on disk; and corrupted copies of training images."""

from __future__ import annotations

from allweather.trainers.corruptions.sets.base import CorruptedSet, Labels
from allweather.trainers.corruptions.sets.corrupted_copies import CopySettings, corrupted_copies
from allweather.trainers.corruptions.sets.generated import GeneratedSet
from allweather.trainers.corruptions.sets.part_of_set import PartOfSet, part_of_set
from allweather.trainers.corruptions.sets.random_streams import image_rngs
from allweather.trainers.corruptions.sets.read import ArrayFileSet, ImageFileSet, open_corrupted_set
from allweather.trainers.corruptions.sets.write import (
    CorruptedSetSettings,
    check_output_is_new,
    write_corrupted_set,
)

__all__ = [
    "ArrayFileSet",
    "CopySettings",
    "CorruptedSet",
    "CorruptedSetSettings",
    "GeneratedSet",
    "ImageFileSet",
    "Labels",
    "PartOfSet",
    "check_output_is_new",
    "corrupted_copies",
    "image_rngs",
    "open_corrupted_set",
    "part_of_set",
    "write_corrupted_set",
]
