"""Evaluation: accuracy of models and policies on clean, corrupted, augmented and shifted images."""

from __future__ import annotations

from allweather.evaluation.augmented import AugmentedEvaluation, evaluate_augmented
from allweather.evaluation.baselines import Baseline, read_baseline
from allweather.evaluation.clean import CleanEvaluation, confusion_matrix, evaluate_clean, evaluate_file
from allweather.evaluation.corrupted import evaluate_corrupted
from allweather.evaluation.metrics import (
    ClassScores,
    Metrics,
    bootstrap_intervals,
    calibration_error,
    class_scores,
    compute_metrics,
    mean_corruption_error,
    mean_error,
    reliability_bins,
)
from allweather.evaluation.policies import PolicyEvaluation, evaluate_policies
from allweather.evaluation.policy_outcomes import run_policies
from allweather.evaluation.provenance import Provenance
from allweather.evaluation.robustness import Robustness
from allweather.evaluation.shifted import ShiftRobustness, evaluate_shifted

__all__ = [
    "AugmentedEvaluation",
    "Baseline",
    "ClassScores",
    "CleanEvaluation",
    "Metrics",
    "PolicyEvaluation",
    "Provenance",
    "Robustness",
    "ShiftRobustness",
    "bootstrap_intervals",
    "calibration_error",
    "class_scores",
    "compute_metrics",
    "confusion_matrix",
    "evaluate_augmented",
    "evaluate_clean",
    "evaluate_corrupted",
    "evaluate_file",
    "evaluate_policies",
    "evaluate_shifted",
    "mean_corruption_error",
    "mean_error",
    "read_baseline",
    "reliability_bins",
    "run_policies",
]
