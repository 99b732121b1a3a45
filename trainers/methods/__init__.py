"""Training methods: training from scratch, augmentation-invariant training, robust finetuning, and their searches."""

from __future__ import annotations

from allweather.trainers.methods.config import PLAIN, TrainConfig
from allweather.trainers.methods.finetune import FinetuneSettings, finetune
from allweather.trainers.methods.gamma_search import search_gamma
from allweather.trainers.methods.gamma_selection import GammaSelection, GammaTrial, select_gamma
from allweather.trainers.methods.invariant import InvariantObjective, JointNetworks
from allweather.trainers.methods.pair_objective import LossWeights, PairObjective
from allweather.trainers.methods.strength_search import with_strengths
from allweather.trainers.methods.train import train

__all__ = [
    "PLAIN",
    "FinetuneSettings",
    "GammaSelection",
    "GammaTrial",
    "InvariantObjective",
    "JointNetworks",
    "LossWeights",
    "PairObjective",
    "TrainConfig",
    "finetune",
    "search_gamma",
    "select_gamma",
    "train",
    "with_strengths",
]
