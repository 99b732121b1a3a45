"""Evaluation: accuracy of models and policies on clean, corrupted, augmented and shifted images.

Each public object is imported when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from allweather.runtimes.system.lazy_names import lazy_names

if TYPE_CHECKING:
    from allweather.evaluation.augmented import AugmentedEvaluation as AugmentedEvaluation
    from allweather.evaluation.baselines import Baseline as Baseline
    from allweather.evaluation.baselines import read_baseline as read_baseline
    from allweather.evaluation.clean import CleanEvaluation as CleanEvaluation
    from allweather.evaluation.clean import confusion_matrix as confusion_matrix
    from allweather.evaluation.error_rate import ErrorChange as ErrorChange
    from allweather.evaluation.error_rate import ErrorRate as ErrorRate
    from allweather.evaluation.error_rate import PairedDifference as PairedDifference
    from allweather.evaluation.error_rate import paired_difference as paired_difference
    from allweather.evaluation.metrics import ClassScores as ClassScores
    from allweather.evaluation.metrics import Metrics as Metrics
    from allweather.evaluation.metrics import bootstrap_intervals as bootstrap_intervals
    from allweather.evaluation.metrics import calibration_error as calibration_error
    from allweather.evaluation.metrics import class_scores as class_scores
    from allweather.evaluation.metrics import compute_metrics as compute_metrics
    from allweather.evaluation.metrics import mean_corruption_error as mean_corruption_error
    from allweather.evaluation.metrics import mean_error as mean_error
    from allweather.evaluation.metrics import reliability_bins as reliability_bins
    from allweather.evaluation.policies import PolicyEvaluation as PolicyEvaluation
    from allweather.evaluation.policies import PolicyResult as PolicyResult
    from allweather.evaluation.provenance import Provenance as Provenance
    from allweather.evaluation.robustness import Cell as Cell
    from allweather.evaluation.robustness import GroupMean as GroupMean
    from allweather.evaluation.robustness import Robustness as Robustness
    from allweather.evaluation.shifted import ShiftRobustness as ShiftRobustness
    from allweather.evaluation.steps import evaluate as evaluate
    from allweather.evaluation.steps import evaluate_augmented as evaluate_augmented
    from allweather.evaluation.steps import evaluate_corrupted as evaluate_corrupted
    from allweather.evaluation.steps import evaluate_policies as evaluate_policies
    from allweather.evaluation.steps import evaluate_shifted as evaluate_shifted

_MODULES = {
    "AugmentedEvaluation": "augmented",
    "Baseline": "baselines",
    "Cell": "robustness",
    "ClassScores": "metrics",
    "CleanEvaluation": "clean",
    "ErrorChange": "error_rate",
    "ErrorRate": "error_rate",
    "GroupMean": "robustness",
    "Metrics": "metrics",
    "PairedDifference": "error_rate",
    "PolicyEvaluation": "policies",
    "PolicyResult": "policies",
    "Provenance": "provenance",
    "Robustness": "robustness",
    "ShiftRobustness": "shifted",
    "bootstrap_intervals": "metrics",
    "calibration_error": "metrics",
    "class_scores": "metrics",
    "compute_metrics": "metrics",
    "confusion_matrix": "clean",
    "evaluate": "steps",
    "evaluate_augmented": "steps",
    "evaluate_corrupted": "steps",
    "evaluate_policies": "steps",
    "evaluate_shifted": "steps",
    "mean_corruption_error": "metrics",
    "mean_error": "metrics",
    "paired_difference": "error_rate",
    "read_baseline": "baselines",
    "reliability_bins": "metrics",
}

__all__ = [*sorted(_MODULES)]
__getattr__, __dir__ = lazy_names(__name__, _MODULES)
