"""The steps from data to a tuned classifier, each as one call that takes and returns objects in memory.

Where a file is named as `out`, the step writes it, and resumes there after it was killed; else nothing is kept. The
functions of `trainers.methods` and `trainers.policies` that the steps call take further arguments.
"""

from __future__ import annotations

from allweather.trainers.steps.classifiers import finetune, load_dataset, train
from allweather.trainers.steps.views import train_predictor, tune_policy

__all__ = ["finetune", "load_dataset", "train", "train_predictor", "tune_policy"]
