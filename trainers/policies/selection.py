"""Chooses among policies on validation images: only what is better than one view beyond chance, the cheapest of equals.

A policy that costs time must show that it is worth it. Its gain in accuracy over one view is bootstrapped over the
images, paired, because both have seen the same images, and for all policies together, because the best of many gains
something by chance.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from allweather.runtimes.errors import UsageError
from allweather.trainers.policies.tuning import TunedPolicy
from allweather.trainers.training.uncertainty import LEVEL, MIN_IMAGES, lower_bounds

MAX_NAMED = 6  # policies that a sentence lists


@dataclass(frozen=True)
class PolicyGain:
    """What a policy gains over one view.

    Attributes:
        tuned: The policy.
        gain: Its accuracy less that of one view, -1..1.
        at_least: What it gains at least, all compared policies together at a level of 95 %; above 0, it is better than
            one view beyond chance. Minus infinity with fewer than 50 images, which decide nothing.
    """

    tuned: TunedPolicy
    gain: float
    at_least: float


@dataclass(frozen=True)
class PolicySelection:
    """Result of choosing among policies.

    Attributes:
        chosen: The policy to follow; one view ("center") if no other is better beyond chance.
        center: One view, which the others are compared with.
        gains: One for each compared policy.
        level_with: Names of the compared policies from which the images cannot tell the chosen one.
        images: Number of validation images.
        unaffordable: Policies that were not compared, because they run too many views.
        max_views: Largest mean number of views run for an image.
    """

    chosen: TunedPolicy
    center: TunedPolicy
    gains: tuple[PolicyGain, ...]
    level_with: tuple[str, ...]
    images: int
    unaffordable: tuple[TunedPolicy, ...] = ()
    max_views: float = math.inf

    def sentences(self) -> list[str]:
        """Says in plain words on how many images it was judged, what was chosen and what could not be told."""
        level = f"{100 * LEVEL:g} %, paired bootstrap"
        lines = [f"judged by accuracy on corrupted copies of {self.images} validation images ({level})"]
        if self.images < MIN_IMAGES:
            lines.append(f"{self.images} images decide nothing, at least {MIN_IMAGES} are needed: one view is stored")
        elif self.chosen is self.center:
            which = "no policy" if not self.unaffordable else f"no policy of at most {self.max_views:g} views"
            lines.append(f"{which} is better than one view beyond chance: one view is stored{self._closest()}")
        else:
            (mine,) = [each for each in self.gains if each.tuned is self.chosen]
            lines.append(
                f"{self.chosen.policy.name} gains {100 * mine.gain:.1f} points over one view, at least "
                f"{100 * mine.at_least:.1f}"
            )
        if self.level_with and self.images >= MIN_IMAGES:
            more = len(self.level_with) - MAX_NAMED
            named = ", ".join(self.level_with[:MAX_NAMED]) + (f" and {more} more" if more > 0 else "")
            lines.append(f"these images cannot tell it from {named}; it runs the fewest views of them")
        if better := self._better_but_unaffordable():
            lines.append(self._too_costly(max(better, key=lambda each: each.accuracy)))
        return lines

    def _better_but_unaffordable(self) -> list[TunedPolicy]:
        """Returns the policies left out that are better than the chosen one beyond chance, all of them together."""
        if not self.unaffordable:
            return []
        mine = self.chosen.image_accuracy
        at_least = lower_bounds(np.stack([each.image_accuracy - mine for each in self.unaffordable], 1))
        return [each for each, bound in zip(self.unaffordable, at_least, strict=True) if bound > 0]

    def _too_costly(self, best: TunedPolicy) -> str:
        """Says that a policy that was left out is better beyond chance, and how to have it compared."""
        return (
            f"{best.policy.name} is {100 * (best.accuracy - self.chosen.accuracy):.1f} points better, but takes the "
            f"time of {best.mean_views:.1f} views, more than the {self.max_views:g} that are allowed for an image; "
            f"allow {math.ceil(best.mean_views)} (max_views) to have it compared"
        )

    def _closest(self) -> str:
        """Says which policy came closest to being better than one view."""
        others = [each for each in self.gains if each.tuned.policy.name != self.center.policy.name]
        if not others:
            return ""
        best = max(others, key=lambda each: each.at_least)
        return (
            f"; the closest is {best.tuned.policy.name} with {100 * best.gain:+.1f} points, at least "
            f"{100 * best.at_least:+.1f}; more images can tell smaller gains"
        )


def select_policy(compared: Sequence[TunedPolicy], center: TunedPolicy, max_views: float) -> PolicySelection:
    """Chooses the policy to follow.

    Of the policies that are more accurate than one view beyond chance, the most accurate is looked for; of those that
    are level with it, the one that runs the fewest views is chosen. Of several that run as few, such as one that
    averages the probabilities and one that averages the logits of the same views, it is the more accurate one; with the
    same accuracy, the one that averages probabilities. Without any, it is one view.

    Args:
        compared: Policies to choose from, evaluated on the same images.
        center: One view, evaluated on the same images.
        max_views: Largest mean number of views run for an image.

    Raises:
        UsageError: None of the policies runs so few views.
    """
    affordable = [each for each in compared if each.mean_views <= max_views]
    if not affordable:
        least = min(compared, key=lambda each: each.mean_views)
        raise UsageError(
            f"no policy runs {max_views:g} view{'' if max_views == 1 else 's'} or fewer for an image, on average; "
            f"{least.policy.name} runs the fewest: {least.mean_views:.3g}"
        )
    unaffordable = tuple(each for each in compared if each.mean_views > max_views)
    gains = np.stack([each.image_accuracy - center.image_accuracy for each in affordable], 1)
    at_least = lower_bounds(gains)
    results = tuple(
        PolicyGain(each, float(gain), float(bound))
        for each, gain, bound in zip(affordable, gains.mean(0), at_least, strict=True)
    )
    better = [each.tuned for each in results if each.at_least > 0]
    images = len(center.image_accuracy)
    if not better:
        return PolicySelection(center, center, results, (), images, unaffordable, max_views)
    best = max(better, key=lambda each: (each.accuracy, -each.mean_views, each.policy.averages == "probabilities"))
    level = [each for each in better if each is best or not _is_better(best, each)]
    chosen = min(level, key=lambda each: (each.mean_views, -each.accuracy, each.policy.averages == "logits"))
    names = tuple(each.policy.name for each in level if each is not chosen)
    return PolicySelection(chosen, center, results, names, images, unaffordable, max_views)


def _is_better(best: TunedPolicy, other: TunedPolicy) -> bool:
    """Returns whether a policy is more accurate than another beyond chance."""
    difference = best.image_accuracy - other.image_accuracy
    return bool(lower_bounds(difference[:, None])[0] > 0)
