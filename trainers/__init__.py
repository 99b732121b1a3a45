"""Training: data sets, models, losses, training methods and checkpoints; the lowest folder that may import torch.

Each public object is imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from allweather.trainers.checkpoint.checkpoint import Checkpoint as Checkpoint
    from allweather.trainers.checkpoint.checkpoint_file import load_checkpoint as load_checkpoint
    from allweather.trainers.checkpoint.checkpoint_file import save_checkpoint as save_checkpoint
    from allweather.trainers.checkpoint.state_dict import checkpoint_from_state_dict as checkpoint_from_state_dict
    from allweather.trainers.data.dataset import Dataset as Dataset
    from allweather.trainers.data.dataset import Split as Split
    from allweather.trainers.methods.config import TrainConfig as TrainConfig
    from allweather.trainers.methods.finetune import FinetuneSettings as FinetuneSettings
    from allweather.trainers.methods.loss_predictor.settings import PredictorSettings as PredictorSettings
    from allweather.trainers.steps.classifiers import finetune as finetune
    from allweather.trainers.steps.classifiers import load_dataset as load_dataset
    from allweather.trainers.steps.classifiers import train as train
    from allweather.trainers.steps.views import train_predictor as train_predictor
    from allweather.trainers.steps.views import tune_policy as tune_policy
    from allweather.trainers.training.launch import launch as launch
    from allweather.trainers.training.progress import Progress as Progress
    from allweather.trainers.training.settings import FitSettings as FitSettings

_MODULES = {
    "Checkpoint": "checkpoint.checkpoint",
    "Dataset": "data.dataset",
    "FinetuneSettings": "methods.finetune",
    "FitSettings": "training.settings",
    "PredictorSettings": "methods.loss_predictor.settings",
    "Progress": "training.progress",
    "Split": "data.dataset",
    "TrainConfig": "methods.config",
    "checkpoint_from_state_dict": "checkpoint.state_dict",
    "finetune": "steps.classifiers",
    "launch": "training.launch",
    "load_checkpoint": "checkpoint.checkpoint_file",
    "load_dataset": "steps.classifiers",
    "save_checkpoint": "checkpoint.checkpoint_file",
    "train": "steps.classifiers",
    "train_predictor": "steps.views",
    "tune_policy": "steps.views",
}

__all__ = [*sorted(_MODULES)]


def __getattr__(name: str) -> Any:
    """Imports a public object on its first use."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(sorted(_MODULES))}")
    value = getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public objects, for completion."""
    return sorted(_MODULES)
