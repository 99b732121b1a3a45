"""Running classifiers without gradients: a module on many images, and a checkpoint or bundle opened as one function."""

from __future__ import annotations

from allweather.trainers.inference.forward import all_reduced, count_correct, logits
from allweather.trainers.inference.frozen_classifier import FrozenClassifier
from allweather.trainers.inference.open_model import EvaluatedModel, open_model

__all__ = ["EvaluatedModel", "FrozenClassifier", "all_reduced", "count_correct", "logits", "open_model"]
