"""The training loop that every method uses, with its objective, settings, learning-rate schedules and devices."""

from __future__ import annotations

from allweather.trainers.training.fit import fit
from allweather.trainers.training.launch import Precision, launch
from allweather.trainers.training.objective import CrossEntropy, Objective
from allweather.trainers.training.progress import EpochReport, Progress
from allweather.trainers.training.schedules import Schedule
from allweather.trainers.training.settings import FitSettings

__all__ = [
    "CrossEntropy",
    "EpochReport",
    "FitSettings",
    "Objective",
    "Precision",
    "Progress",
    "Schedule",
    "fit",
    "launch",
]
