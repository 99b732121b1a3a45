"""Checkpoints: a classifier or a loss predictor with a record of its training, in one safetensors file."""

from __future__ import annotations

from allweather.trainers.checkpoint.checkpoint import Checkpoint
from allweather.trainers.checkpoint.checkpoint_file import extract_predictor, load_checkpoint, save_checkpoint
from allweather.trainers.checkpoint.predictor_file import TrainedPredictor, load_predictor, save_predictor
from allweather.trainers.checkpoint.state_dict import checkpoint_from_state_dict

__all__ = [
    "Checkpoint",
    "TrainedPredictor",
    "checkpoint_from_state_dict",
    "extract_predictor",
    "load_checkpoint",
    "load_predictor",
    "save_checkpoint",
    "save_predictor",
]
