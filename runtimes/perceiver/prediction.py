"""What is predicted from the average of some views, how sure that is, and whether to accept it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from allweather.runtimes.tta.policy import Policy
from allweather.runtimes.types import Floats


@dataclass(frozen=True, eq=False)
class Prediction:
    """A prediction.

    Attributes:
        label: Name of the most probable class; empty if no view was run.
        confidence: See `Decision`.
        probabilities: See `Decision`.
        average_confidence: Largest probability before it was calibrated; a policy's early exit is decided by it.
        accepted: See `Decision`.
        unknown: See `Decision`.
    """

    label: str
    confidence: float
    probabilities: Floats
    average_confidence: float
    accepted: bool | None
    unknown: bool


def predict(average: Floats, views_run: int, energy: float, policy: Policy, classes: Sequence[str]) -> Prediction:
    """Returns the prediction from the average of views.

    Args:
        average: float32 [C], sums to 1.
        views_run: Number of views, at least 1.
        energy: Their mean energy; not used without a confidence model.
        policy: The policy that they were run for.
        classes: Class names, in the order of the probabilities.
    """
    best = int(average.argmax())  # before it is calibrated: rounding may make two probabilities the same
    model = policy.confidence_model
    if model is None:
        return Prediction(classes[best], float(average[best]), average, float(average[best]), None, unknown=False)
    probabilities = model.calibrated(average, views_run)
    confidence, unknown = float(probabilities[best]), model.is_unknown(energy, views_run)
    accepted = model.accepts(confidence, unknown=unknown)
    return Prediction(classes[best], confidence, probabilities, float(average[best]), accepted, unknown)


def no_prediction(policy: Policy, classes: Sequence[str]) -> Prediction:
    """Returns what is predicted if no view was run: no label, and all classes are equally probable."""
    model = policy.confidence_model
    accepted = None if model is None or model.acceptance is None else False
    return Prediction("", 0.0, np.full(len(classes), 1 / len(classes), np.float32), 0.0, accepted, unknown=False)
