"""The views of several objects of a frame: which were run, what they gave, and which one to run next."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from allweather.runtimes.tta.aggregate import agreement, average
from allweather.runtimes.tta.policy import LARGE, Averaged, Policy
from allweather.runtimes.tta.run_views import mean_energy
from allweather.runtimes.types import Floats

# Averaging lowers the expected loss even by a view that is no better than those before: the loss of an average of k
# views is about that of one of them, times 1 - DIVERSITY (1 - 1/k). A guess; it was not fitted to any classifier.
DIVERSITY = 0.3


@dataclass
class ObjectState:
    """The views of one object, and what those that were run gave.

    Attributes:
        views: Names of the policy's views, in the order in which they are run.
        weights: Weight of each in the average.
        predicted_losses: Predicted loss of each; empty if none were predicted.
    """

    views: tuple[str, ...]
    weights: tuple[float, ...]
    predicted_losses: tuple[float, ...]
    _logits: list[Floats] = field(default_factory=list)
    _probabilities: Floats | None = None

    @property
    def views_run(self) -> int:
        """Number of views that were run."""
        return len(self._logits)

    def add(self, logits: Floats) -> None:
        """Adds the logits of the next view, float32 [C]."""
        self._logits.append(logits)
        self._probabilities = None

    def add_large(self, logits: Floats) -> None:
        """Adds the logits of the first view on the large classifier, float32 [C]; views that were not run are left out.

        They count as much as the views that were run do together; see `Policy.with_large`.
        """
        done = self.views_run
        self.views = (*self.views[:done], LARGE + self.views[0])
        self.weights = (*self.weights[:done], sum(self.weights[:done]))
        self.predicted_losses = (*self.predicted_losses[:done], *self.predicted_losses[:1])
        self.add(logits)

    def follow_with(self, ranked: ObjectState, predicted_loss: float, most: int) -> None:
        """Lets the ranked views follow the first one, the identity, which was run before there was time to rank.

        Args:
            ranked: The views in the order of their predicted losses; the identity among them is left out.
            predicted_loss: Predicted loss of the identity.
            most: Largest number of views of the policy.
        """
        first = self.views[0]
        others = [
            each for each in zip(ranked.views, ranked.weights, ranked.predicted_losses, strict=True) if each[0] != first
        ]
        views, weights, losses = zip(*[(first, 1.0, predicted_loss), *others][:most], strict=True)
        self.views, self.weights, self.predicted_losses = views, weights, losses

    def probabilities(self, averages: Averaged) -> Floats:
        """Returns the average of the views that were run, float32 [C]; at least one was."""
        if self._probabilities is None:
            self._probabilities = average(np.stack(self._logits), self.weights[: self.views_run], averages)
        return self._probabilities

    def energy(self, policy: Policy) -> float:
        """Returns the mean energy of the views that were run; nan if none was, or the policy does not use it."""
        return mean_energy(np.stack(self._logits), policy) if self._logits else math.nan

    def agreement(self, averages: Averaged) -> float:
        """Returns the share of the views that were run, 0..1, whose own most probable class is that of the average."""
        return agreement(np.stack(self._logits), self.probabilities(averages))

    def gain(self, count: int, uncertainty: float) -> float:
        """Returns by how much the expected loss of the average falls if one view follows `count` others.

        Args:
            count: Number of views before it, at least 1.
            uncertainty: Expected loss of a view if none was predicted, in nats: the entropy of the average so far.
        """
        return self._expected_loss(count, uncertainty) - self._expected_loss(count + 1, uncertainty)

    def _expected_loss(self, count: int, uncertainty: float) -> float:
        mean = sum(self.predicted_losses[:count]) / count if self.predicted_losses else uncertainty
        return mean * (1 - DIVERSITY * (1 - 1 / count))


def most_promising(states: Sequence[ObjectState], policy: Policy) -> list[int]:
    """Returns the objects in the order in which their next views promise most, an object once for each of its views.

    Objects whose average is confident enough for the policy's early exit get no further view; with an early exit, no
    object has more than one view before its average is checked again.

    Args:
        states: The objects, each with at least one view.
        policy: The policy of all objects.
    """
    gains: list[tuple[float, int, int]] = []
    for index, state in enumerate(states):
        done, planned = state.views_run, len(state.views)
        if done == planned:
            continue
        uncertainty = 0.0
        if policy.exits_early or not state.predicted_losses:
            probabilities = state.probabilities(policy.averages)
            if float(probabilities.max()) > policy.early_exit_threshold:
                continue
            uncertainty = entropy(probabilities)
        lowest = np.inf
        for before in range(done, done + 1 if policy.exits_early else planned):
            lowest = min(lowest, state.gain(before, uncertainty))  # a view never goes before an earlier one
            gains.append((-lowest, before, index))
    return [index for *_, index in sorted(gains)]


def most_uncertain(states: Sequence[ObjectState], policy: Policy) -> list[int]:
    """Returns the objects that are not confident enough for the policy's early exit, the most uncertain first.

    Args:
        states: The objects, each with at least one view.
        policy: The policy of all objects.
    """
    averages = [state.probabilities(policy.averages) for state in states]
    unsure = [index for index, each in enumerate(averages) if float(each.max()) <= policy.early_exit_threshold]
    return sorted(unsure, key=lambda index: -entropy(averages[index]))


def entropy(probabilities: Floats) -> float:
    """Returns the entropy of a prediction, in nats: 0 if it is certain, log(C) if all classes are equally probable."""
    positive = probabilities[probabilities > 0].astype(np.float64)
    return float(-(positive * np.log(positive)).sum())
