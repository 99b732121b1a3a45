"""The perceiver: a frame goes in, a decision comes out."""

from __future__ import annotations

from allweather.runtimes.perceiver.large_classifier import LargeClassifier
from allweather.runtimes.perceiver.loss_predictor import LossPredictor, check_runnable
from allweather.runtimes.perceiver.perceiver import CENTER, Perceiver

__all__ = ["CENTER", "LargeClassifier", "LossPredictor", "Perceiver", "check_runnable"]
