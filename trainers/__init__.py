"""Training: data sets, models, losses, training methods and checkpoints; the lowest folder that may import torch.

Each public object is imported when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from allweather.runtimes.system.lazy_names import lazy_names

if TYPE_CHECKING:
    from allweather.trainers.augmentations.photometric import COMBINATIONS as COMBINATIONS
    from allweather.trainers.augmentations.photometric import augment as augment
    from allweather.trainers.augmentations.strengths import AugmentationStrengths as AugmentationStrengths
    from allweather.trainers.augmentations.strengths import Strength as Strength
    from allweather.trainers.augmentations.strengths import augmentation_strengths as augmentation_strengths
    from allweather.trainers.checkpoint.checkpoint import Checkpoint as Checkpoint
    from allweather.trainers.checkpoint.checkpoint_file import load_checkpoint as load_checkpoint
    from allweather.trainers.checkpoint.checkpoint_file import save_checkpoint as save_checkpoint
    from allweather.trainers.checkpoint.predictor_file import TrainedPredictor as TrainedPredictor
    from allweather.trainers.checkpoint.predictor_file import load_predictor as load_predictor
    from allweather.trainers.checkpoint.state_dict import checkpoint_from_state_dict as checkpoint_from_state_dict
    from allweather.trainers.corruptions.any_image import corrupt as corrupt
    from allweather.trainers.corruptions.catalogue import COMMON as COMMON
    from allweather.trainers.corruptions.catalogue import CORRUPTIONS as CORRUPTIONS
    from allweather.trainers.corruptions.transform import CorruptionTransform as CorruptionTransform
    from allweather.trainers.data.dataset import Dataset as Dataset
    from allweather.trainers.data.dataset import Split as Split
    from allweather.trainers.data.signs.dataset import render_signs as render_signs
    from allweather.trainers.losses.consistency import ai_loss as ai_loss
    from allweather.trainers.losses.consistency import feature_map_loss as feature_map_loss
    from allweather.trainers.losses.consistency import stability_loss as stability_loss
    from allweather.trainers.losses.pairs import PairOutputs as PairOutputs
    from allweather.trainers.losses.pairs import run_pair as run_pair
    from allweather.trainers.losses.ranking import RANK_LOSSES as RANK_LOSSES
    from allweather.trainers.methods.config import TrainConfig as TrainConfig
    from allweather.trainers.methods.finetune import FinetuneSettings as FinetuneSettings
    from allweather.trainers.methods.loss_predictor.from_losses import fit_loss_predictor as fit_loss_predictor
    from allweather.trainers.methods.loss_predictor.settings import PredictorSettings as PredictorSettings
    from allweather.trainers.methods.recipes import recipe as recipe
    from allweather.trainers.models.activation_hooks import capture_activations as capture_activations
    from allweather.trainers.models.loss_predictor import LossPredictor as LossPredictor
    from allweather.trainers.models.loss_predictor import build_predictor as build_predictor
    from allweather.trainers.models.loss_predictor import predictor_input_spec as predictor_input_spec
    from allweather.trainers.policies.comparison import PolicyComparison as PolicyComparison
    from allweather.trainers.steps.classifiers import finetune as finetune
    from allweather.trainers.steps.classifiers import load_dataset as load_dataset
    from allweather.trainers.steps.classifiers import train as train
    from allweather.trainers.steps.views import train_predictor as train_predictor
    from allweather.trainers.steps.views import tune_policy as tune_policy
    from allweather.trainers.training.launch import launch as launch
    from allweather.trainers.training.progress import Progress as Progress
    from allweather.trainers.training.settings import FitSettings as FitSettings
    from allweather.trainers.tta.loss_table import view_losses as view_losses
    from allweather.trainers.tta.tensor_views import apply_view as apply_view
    from allweather.trainers.tta.wrapper import TTAWrapper as TTAWrapper

_MODULES = {
    "AugmentationStrengths": "augmentations.strengths",
    "COMBINATIONS": "augmentations.photometric",
    "COMMON": "corruptions.catalogue",
    "CORRUPTIONS": "corruptions.catalogue",
    "Checkpoint": "checkpoint.checkpoint",
    "CorruptionTransform": "corruptions.transform",
    "Dataset": "data.dataset",
    "FinetuneSettings": "methods.finetune",
    "FitSettings": "training.settings",
    "LossPredictor": "models.loss_predictor",
    "PairOutputs": "losses.pairs",
    "PolicyComparison": "policies.comparison",
    "PredictorSettings": "methods.loss_predictor.settings",
    "Progress": "training.progress",
    "RANK_LOSSES": "losses.ranking",
    "Split": "data.dataset",
    "Strength": "augmentations.strengths",
    "TTAWrapper": "tta.wrapper",
    "TrainConfig": "methods.config",
    "TrainedPredictor": "checkpoint.predictor_file",
    "ai_loss": "losses.consistency",
    "apply_view": "tta.tensor_views",
    "augment": "augmentations.photometric",
    "augmentation_strengths": "augmentations.strengths",
    "build_predictor": "models.loss_predictor",
    "capture_activations": "models.activation_hooks",
    "checkpoint_from_state_dict": "checkpoint.state_dict",
    "corrupt": "corruptions.any_image",
    "feature_map_loss": "losses.consistency",
    "finetune": "steps.classifiers",
    "fit_loss_predictor": "methods.loss_predictor.from_losses",
    "launch": "training.launch",
    "load_checkpoint": "checkpoint.checkpoint_file",
    "load_predictor": "checkpoint.predictor_file",
    "load_dataset": "steps.classifiers",
    "predictor_input_spec": "models.loss_predictor",
    "recipe": "methods.recipes",
    "render_signs": "data.signs.dataset",
    "run_pair": "losses.pairs",
    "save_checkpoint": "checkpoint.checkpoint_file",
    "stability_loss": "losses.consistency",
    "train": "steps.classifiers",
    "train_predictor": "steps.views",
    "tune_policy": "steps.views",
    "view_losses": "tta.loss_table",
}

__all__ = [*sorted(_MODULES)]
__getattr__, __dir__ = lazy_names(__name__, _MODULES)
