"""Fits the confidence model of a policy: temperatures and energies for each number of views that it may run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from allweather.runtimes.tta.confidence_model import MAX_TEMPERATURE, MIN_TEMPERATURE, ConfidenceModel
from allweather.runtimes.tta.policy import Policy
from allweather.runtimes.tta.views import IDENTITY
from allweather.trainers.policies.average import averages_of_budgets, mean_energies
from allweather.trainers.policies.every_view import ViewLogits

KNOWN_SHARE = 0.99  # of validation images that are not unlike the others
MIN_ROWS = 50  # that a temperature is fitted to; with fewer it is that of one view less, and for one view 1
MIN_ERRORS = 10  # among them, for the confidence to be raised: without an error no confidence would be too high
NO_LIMIT = 1e9  # of the energy, where too few images tell what is usual
NUM_STEPS = 25  # of the bisection: the temperature is then known to a millionth
SMALLEST = 1e-12  # a class with less probability costs no more than this

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class BudgetDecisions:
    """What a policy decides on n images if the budget leaves time for some number of views.

    Attributes:
        probabilities: float64 [n, C], not calibrated.
        views_run: int64 [n]; with an early exit fewer than the budget allows.
        energies: float64 [n], mean energy of the views that were run.
        correct: bool [n].
    """

    probabilities: Array
    views_run: npt.NDArray[np.int64]
    energies: Array
    correct: npt.NDArray[np.bool_]


def decisions_of_budgets(policy: Policy, results: ViewLogits) -> Iterator[BudgetDecisions]:
    """Yields the decisions with time for 1 view, 2 views, ..., all views of a policy.

    Args:
        policy: The policy.
        results: The logits of its views; see `view_logits`.
    """
    labels = results.labels.numpy()
    by_view = {name: logits.numpy() for name, logits in zip(results.names, results.logits, strict=True)}
    chosen = policy.choose(results.predicted_losses, np.random.default_rng(0), len(labels))
    energies = mean_energies(policy, chosen, by_view)
    for probabilities, views_run in averages_of_budgets(policy, chosen, by_view):
        mean_energy = np.take_along_axis(energies, views_run[:, None] - 1, 1)[:, 0]
        yield BudgetDecisions(probabilities, views_run, mean_energy, probabilities.argmax(1) == labels)


def fallback_policy(policy: Policy) -> Policy | None:
    """Returns what a policy runs if there is no time to rank its views; None if it ranks none."""
    if not policy.needs_predictor:
        return None
    return Policy(
        policy.name, "all", (IDENTITY.name,), 1, policy.hflip,
        early_exit_threshold=policy.early_exit_threshold, averages=policy.averages,
        confidence_model=policy.confidence_model, large=policy.large,
    )  # fmt: skip


def fit_confidence_model(policy: Policy, results: ViewLogits) -> ConfidenceModel:
    """Fits temperatures and energies.

    Both depend on the number of views: an average of several is less overconfident than one, and its energy varies
    less. Those of a number are fitted to the images on which the policy, with its early exit, runs so many. Few images
    decide nothing: with fewer than 50 the confidence stays as it is, and with fewer than 10 errors it is not raised.

    Args:
        policy: The policy.
        results: The logits of its views on images that the model was not trained on; see `view_logits`.

    Returns:
        A model without a threshold.
    """
    labels = results.labels.numpy()
    temperatures: list[float] = []
    max_energies: list[float] = []
    for number, each in enumerate(decisions_of_budgets(policy, results), 1):
        rows = each.views_run == number
        if rows.sum() < MIN_ROWS:
            temperatures.append(temperatures[-1] if temperatures else 1.0)
            max_energies.append(max_energies[-1] if max_energies else NO_LIMIT)
            continue
        fitted = fit_temperature(each.probabilities[rows], labels[rows])
        temperatures.append(fitted if (~each.correct[rows]).sum() >= MIN_ERRORS else max(fitted, 1.0))
        max_energies.append(float(np.quantile(each.energies[rows], KNOWN_SHARE, method="higher")))
    return ConfidenceModel(tuple(temperatures), tuple(max_energies))


def fit_temperature(probabilities: Array, labels: npt.NDArray[np.int64]) -> float:
    """Finds the temperature with the highest likelihood (Guo et al. 2017).

    The likelihood is concave in the inverse of the temperature, so that its slope tells on which side to look.

    Args:
        probabilities: float [n, C], n >= 1.
        labels: int64 [n].

    Returns:
        0.05 to 20. Where all predictions are correct, no temperature is too low, and 0.05 is returned.
    """
    logs = np.log(probabilities.clip(SMALLEST))
    logs -= logs.max(1, keepdims=True)
    of_label = logs[np.arange(len(labels)), labels].mean()
    low, high = np.log(MIN_TEMPERATURE), np.log(MAX_TEMPERATURE)
    for _ in range(NUM_STEPS):
        middle = (low + high) / 2
        weights = np.exp(logs / np.exp(middle))
        expected = ((weights * logs).sum(1) / weights.sum(1)).mean()
        if expected < of_label:  # the labels are more probable than at this temperature
            high = middle
        else:
            low = middle
    return float(np.exp((low + high) / 2))
