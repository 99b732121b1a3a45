"""Learns an augmentation through influence functions (Lee et al., CVPR 2020)."""

from __future__ import annotations

from allweather.trainers.methods.learned_augmentation.adversarial import AdversarialObjective, GanModel
from allweather.trainers.methods.learned_augmentation.estimators import (
    FeatureExtractor,
    InfluenceEstimator,
    MeanInfluence,
    fit_estimators,
    influences_on_parts,
    mean_influences,
)
from allweather.trainers.methods.learned_augmentation.influence_objective import (
    InfluenceObjective,
    TwoDraws,
    diversity_loss,
)
from allweather.trainers.methods.learned_augmentation.learn import learn_augmentation
from allweather.trainers.methods.learned_augmentation.reliability import Reliability, split_half_correlation
from allweather.trainers.methods.learned_augmentation.settings import LearnAugmentationSettings, Stage
from allweather.trainers.methods.learned_augmentation.visualize import latent_traversal, sample_augmentations

__all__ = [
    "AdversarialObjective",
    "FeatureExtractor",
    "GanModel",
    "InfluenceEstimator",
    "InfluenceObjective",
    "LearnAugmentationSettings",
    "MeanInfluence",
    "Reliability",
    "Stage",
    "TwoDraws",
    "diversity_loss",
    "fit_estimators",
    "influences_on_parts",
    "latent_traversal",
    "learn_augmentation",
    "mean_influences",
    "sample_augmentations",
    "split_half_correlation",
]
