"""Finds the confidence from which decisions may be accepted: with a bound on their errors, or not at all.

This is selective classification with a guaranteed risk (Geifman and El-Yaniv 2017, arXiv:1705.08500). The thresholds
are tested one after the other, from one at which the risk is most surely held downwards, until a test fails: a fixed
sequence, in which each test may have the whole level (Learn then Test; Angelopoulos et al. 2021, arXiv:2110.01052).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from allweather.runtimes.tta.confidence_model import Acceptance, ConfidenceModel, check_share
from allweather.runtimes.tta.policy import Policy
from allweather.runtimes.types import Floats
from allweather.trainers.data.split import LabeledImages
from allweather.trainers.policies.average import Array, Indices, mean_energies
from allweather.trainers.policies.confidence import BudgetDecisions
from allweather.trainers.training.uncertainty import LEVEL

MAX_NEEDED = 10**12  # images, more than there ever are
MAX_SUGGESTED = 50  # percent; nobody relies on decisions more than half of which may be errors
NUM_THRESHOLDS = 100  # tested: quantiles of the confidence on other images


@dataclass(frozen=True)
class RiskTarget:
    """Which share of errors accepted decisions may have, and the images on which that is shown.

    Attributes:
        risk: The share, above 0 and below 1.
        images: Images that neither the network, nor a loss predictor, nor the choice of the policy has seen.
        without_predictor: Those for a policy that needs no loss predictor; they may include what that has learned on.
        level: Probability with which the threshold holds the risk, above 0 and below 1.
    """

    risk: float
    images: LabeledImages
    without_predictor: LabeledImages
    level: float = LEVEL

    def __post_init__(self) -> None:
        """Checks the shares.

        Raises:
            UsageError: One is not above 0 and below 1.
        """
        check_share("risk", self.risk)
        check_share("level", self.level)

    def images_for(self, policy: Policy) -> LabeledImages:
        """Returns the images on which the risk of a policy is shown."""
        return self.images if policy.needs_predictor else self.without_predictor


@dataclass(frozen=True)
class JudgedDecisions:
    """Decisions on n images with time for some number of views.

    Attributes:
        confidence: float32 [n], calibrated; minus infinity for an unknown image, which is never accepted.
        correct: bool [n].
    """

    confidence: npt.NDArray[np.float32]
    correct: npt.NDArray[np.bool_]

    def counts(self, threshold: float) -> tuple[int, int]:
        """Returns the number of accepted decisions, and how many of these are errors."""
        accepted = self.confidence >= threshold
        return int(accepted.sum()), int((accepted & ~self.correct).sum())


def judge(model: ConfidenceModel, decisions: BudgetDecisions) -> JudgedDecisions:
    """Calibrates decisions and finds the unknown images, as the camera loop does for one image."""
    confidence, unknown = _calibrated(model, decisions)
    return JudgedDecisions(np.where(unknown, np.float32(-np.inf), confidence), decisions.correct)


def confidence_and_accepted(
    policy: Policy, chosen: Indices, by_view: Mapping[str, Floats], probabilities: Array, views_run: Indices
) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Returns the confidence of a policy's decisions, float32 [n], and which of them it accepts, bool [n].

    Without a confidence model the confidence is not calibrated; without a threshold no decision is accepted.

    Args:
        policy: The policy.
        chosen: See `average_views`.
        by_view: See `average_views`.
        probabilities: What `average_views` returned.
        views_run: What `average_views` returned.
    """
    model, accepted = policy.confidence_model, np.zeros(len(chosen), np.bool_)
    if model is None:
        return probabilities.max(1).astype(np.float32), accepted
    energies = np.take_along_axis(mean_energies(policy, chosen, by_view), views_run[:, None] - 1, 1)[:, 0]
    confidence, unknown = _calibrated(model, BudgetDecisions(probabilities, views_run, energies, accepted))
    if model.acceptance is not None:
        accepted = ~unknown & (confidence >= model.acceptance.threshold)
    return confidence, accepted


def _calibrated(model: ConfidenceModel, decisions: BudgetDecisions) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Returns the calibrated confidence, float32 [n], and whether the images are unknown, bool [n]."""
    confidence, unknown = np.empty(len(decisions.correct), np.float32), np.empty(len(decisions.correct), np.bool_)
    for number in np.unique(decisions.views_run).tolist():
        rows = decisions.views_run == number
        confidence[rows] = model.calibrated(decisions.probabilities[rows].astype(np.float32), number).max(1)
        unknown[rows] = [model.is_unknown(each, number) for each in decisions.energies[rows].tolist()]
    return confidence, unknown


def find_acceptance(
    first: Sequence[JudgedDecisions], second: Sequence[JudgedDecisions], risk: float, level: float = LEVEL
) -> Acceptance | None:
    """Finds the lowest threshold at which the share of errors among accepted decisions is at most `risk`.

    A threshold is rejected if too many of the accepted decisions are errors at any of the budgets: so whatever number
    of views a budget leaves, the risk is held, and no further correction is needed (a test of all at once is as strict
    as the strictest of them).

    Args:
        first: Decisions on images that say which thresholds to test and where to begin; for each budget, the last one
            with all views. What they show about errors is not counted.
        second: Decisions on other images, each of them once, for the same budgets.
        risk: Largest share of errors, above 0 and below 1.
        level: Probability with which the threshold holds the risk on images like those of `second`.

    Returns:
        The threshold with what was shown; None if no test succeeded.
    """
    known = first[-1].confidence[first[-1].confidence >= 0]
    if not len(known) or not len(second[-1].correct):
        return None
    shares = np.arange(NUM_THRESHOLDS) / NUM_THRESHOLDS
    thresholds = np.unique(np.quantile(known, shares, method="lower"))[::-1].tolist()
    surely = [_log_p_value(first, each, risk) for each in thresholds]
    found: float | None = None
    for each in thresholds[int(np.argmin(surely)) :]:
        if _log_p_value(second, each, risk) > math.log(1 - level):
            break
        found = each
    if found is None:
        return None
    accepted, errors = second[-1].counts(found)
    return Acceptance(found, risk, level, len(second[-1].correct), accepted, errors)


def smallest_held_risk(
    first: Sequence[JudgedDecisions], second: Sequence[JudgedDecisions], above: float, level: float = LEVEL
) -> float | None:
    """Returns the smallest whole percentage of errors that some threshold holds, as a share; None if there is none.

    Args:
        first: See `find_acceptance`.
        second: See `find_acceptance`.
        above: The risk that no threshold holds; larger ones are tried.
        level: See `find_acceptance`.
    """
    for percent in range(math.floor(100 * above) + 1, MAX_SUGGESTED + 1):
        if find_acceptance(first, second, percent / 100, level) is not None:
            return percent / 100
    return None


def needed_images(risk: float, level: float = LEVEL) -> int:
    """Returns how many accepted decisions without a single error show that at most a share `risk` are errors."""
    return math.ceil(min(math.log(1 - level) / math.log1p(-risk), MAX_NEEDED))


def log_binomial_tail(errors: int, count: int, risk: float) -> float:
    """Returns the logarithm of the probability of at most `errors` errors among `count`, each with probability `risk`.

    Args:
        errors: 0 to `count`.
        count: At least 0.
        risk: Above 0 and below 1.
    """
    if errors >= count:
        return 0.0
    number = np.arange(1, errors + 1)
    ratios = np.log((count - number + 1) / number) + math.log(risk) - math.log1p(-risk)
    terms = np.concatenate([[0.0], ratios.cumsum()]) + count * math.log1p(-risk)
    largest = float(terms.max())
    return min(largest + math.log(float(np.exp(terms - largest).sum())), 0.0)


def _log_p_value(decisions: Sequence[JudgedDecisions], threshold: float, risk: float) -> float:
    """Returns the largest p-value, as a logarithm, of the hypotheses that the risk is exceeded at some budget."""
    counts = (each.counts(threshold) for each in decisions)
    return max(log_binomial_tail(errors, accepted, risk) for accepted, errors in counts)
