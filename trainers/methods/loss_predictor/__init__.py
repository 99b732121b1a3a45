"""Trains the loss predictor, which predicts for each image the classifier's loss on every view (Kim et al. 2020)."""

from __future__ import annotations

from allweather.trainers.methods.loss_predictor.identity_margin import add_identity_margin
from allweather.trainers.methods.loss_predictor.rank_objective import RankObjective
from allweather.trainers.methods.loss_predictor.settings import PredictorSettings
from allweather.trainers.methods.loss_predictor.train import add_predictor, fit_predictor, predictor_for
from allweather.trainers.methods.loss_predictor.view_losses import ViewLosses, compute_view_losses

__all__ = [
    "PredictorSettings",
    "RankObjective",
    "ViewLosses",
    "add_identity_margin",
    "add_predictor",
    "compute_view_losses",
    "fit_predictor",
    "predictor_for",
]
