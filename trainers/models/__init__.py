"""Models: classifiers by name, the loss predictor, hooks that capture activations, and averaged weights."""

from __future__ import annotations

from allweather.trainers.models.activation_hooks import (
    Layer,
    capture_activations,
    capture_layer,
    check_activations,
    last_linear,
)
from allweather.trainers.models.architecture import Architecture
from allweather.trainers.models.architectures import ARCHITECTURES
from allweather.trainers.models.classifier import Classifier, Normalize, weights_digest
from allweather.trainers.models.ema import MovingAverage
from allweather.trainers.models.loss_predictor import PREDICTORS, LossPredictor, build_predictor, predictor_input_spec
from allweather.trainers.models.own_model import check_network, import_own_model
from allweather.trainers.models.registry import build_model, default_lr, get_architecture, load_pretrained

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
    "check_network",
    "default_lr",
    "get_architecture",
    "import_own_model",
    "last_linear",
    "load_pretrained",
    "predictor_input_spec",
    "weights_digest",
]
