"""Data sets: finds labeled images by name, splits them into train, val and test, and gathers batches of them."""

from __future__ import annotations

from allweather.trainers.data.batches import gather, to_float, to_uint8
from allweather.trainers.data.dataset import Dataset, check_fraction, check_label_noise
from allweather.trainers.data.epoch_plan import EpochPlan, plan_epoch
from allweather.trainers.data.registry import dataset_classes, open_dataset, open_dataset_of
from allweather.trainers.data.split import Split

__all__ = [
    "Dataset",
    "EpochPlan",
    "Split",
    "check_fraction",
    "check_label_noise",
    "dataset_classes",
    "gather",
    "open_dataset",
    "open_dataset_of",
    "plan_epoch",
    "to_float",
    "to_uint8",
]
