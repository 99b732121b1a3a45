"""Models: classifiers by name, the loss predictor, hooks that capture activations, and averaged weights."""

from __future__ import annotations

from allweather.trainers.models.activation_hooks import (
    Layer,
    capture_activations,
    capture_layer,
    check_activations,
    last_linear,
)
from allweather.trainers.models.ema import MovingAverage
from allweather.trainers.models.loss_predictor import PREDICTORS, LossPredictor, build_predictor, predictor_input_spec
from allweather.trainers.models.registry import (
    ARCHITECTURES,
    Architecture,
    Classifier,
    Normalize,
    build_model,
    get_architecture,
    load_pretrained,
    weights_digest,
)

__all__ = [
    "ARCHITECTURES",
    "PREDICTORS",
    "Architecture",
    "Classifier",
    "Layer",
    "LossPredictor",
    "MovingAverage",
    "Normalize",
    "build_model",
    "build_predictor",
    "capture_activations",
    "capture_layer",
    "check_activations",
    "get_architecture",
    "last_linear",
    "load_pretrained",
    "predictor_input_spec",
    "weights_digest",
]
