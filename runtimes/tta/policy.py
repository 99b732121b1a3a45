"""Policies: which views of a frame are run, and what is averaged over them. Bundles and checkpoints store them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal, get_args

import numpy as np

from allweather.runtimes.errors import UsageError, check_choice
from allweather.runtimes.setting_types import check_types
from allweather.runtimes.text import forbidden_character
from allweather.runtimes.tta.confidence_model import ConfidenceModel
from allweather.runtimes.tta.turns import Indices, in_turn
from allweather.runtimes.tta.views import CHAIN, view
from allweather.runtimes.types import Floats

Pick = Literal["all", "draw", "random", "top", "oracle"]
Averaged = Literal["probabilities", "logits"]
FLIP = "hflip"
LARGE = "large:"  # in front of the name of a view that the large classifier runs
MAX_NAME_CHARACTERS = 4096  # the name of a policy lists its views, where it is one of set:VIEW,...
MAX_WEIGHT = 1e6  # of a view; a sum of weights near the largest float is infinite, and every average then nan
MAX_VIEWS = 64  # for each frame; no average gains from more, and a hostile bundle could ask for millions


@dataclass(frozen=True)
class Policy:
    """Which views are run on each frame, and how their outputs are averaged.

    Attributes:
        name: The policy as it is written, such as "top:2+flip"; logs and screens show it.
        pick: How the views of a frame are chosen among `views`: "all" of them; "draw" draws `num_views` with
            repetition; "random" draws `num_views` without repetition; "top" takes the `num_views` with the lowest
            predicted losses; "oracle" takes those with the lowest true losses, which only an evaluation knows.
        views: Names of the views to choose from, at most 64. For "top", those whose losses the loss predictor predicts,
            in the order of its outputs.
        num_views: Number of views to choose.
        hflip: Whether each chosen view is also run horizontally flipped.
        large: Whether the bundle's large classifier runs the first of the chosen views as well, after all of them. In
            the average it counts as much as they do together. With an early exit this is a cascade: the large
            classifier runs only where the views are not confident enough (Viola and Jones 2001).
        weights: Weight of each of `views` in the average, that of the first above 0; equal weights if empty.
        early_exit_threshold: As soon as the average gives one class more than this probability, no further view is run;
            above 0. With 1, all views are always run.
        averages: What is averaged over the views: "probabilities", or "logits", whose softmax is then the geometric
            mean of the probabilities, normalized (a product of experts; Hinton 2002). A class that one view finds
            improbable loses more by it. With one view both are the same.
        confidence_model: Calibrates the confidence of its decisions, and says which to accept; None if it was not
            tuned. It belongs to these views and this average, and to one model.
    """

    name: str
    pick: Pick
    views: tuple[str, ...]
    num_views: int
    hflip: bool = False
    weights: tuple[float, ...] = ()
    early_exit_threshold: float = 1.0
    averages: Averaged = "probabilities"
    confidence_model: ConfidenceModel | None = None
    large: bool = False
    __pydantic_config__ = MappingProxyType({"extra": "forbid"})  # applies when a manifest or a checkpoint is read

    def __post_init__(self) -> None:
        """Checks that the policy can be run.

        Raises:
            UsageError: It cannot; the message names what is wrong.
        """
        check_types(self)
        if letter := forbidden_character(self.name):
            raise UsageError(f"the name of a policy holds {letter}, which no terminal or log should get")
        if not self.name.strip() or len(self.name) > MAX_NAME_CHARACTERS:
            raise UsageError(f"the name of a policy has 1 to {MAX_NAME_CHARACTERS} characters; got {len(self.name)}")
        repeats = self.pick == "draw"
        most = MAX_VIEWS if repeats else len(self.views)
        if len(self.views) > MAX_VIEWS:
            raise UsageError(f"policy {self.name}: at most {MAX_VIEWS} views; got {len(self.views)}")
        for name in self.views:
            view(flipped(name) if self.hflip else name)
        if self.weights and self.pick != "all":
            raise UsageError(f"policy {self.name}: only a policy that runs all of its views can have weights")
        if not self.views or not 1 <= self.num_views <= most:
            raise UsageError(f"policy {self.name}: the number of views is 1 to {most}; got {self.num_views}")
        if not repeats and len(set(self.views)) < len(self.views):
            raise UsageError(f"policy {self.name}: a view is named twice; 'set:VIEW,...:N' draws with repetition")
        fits = len(self.weights) in (0, len(self.views)) and all(0 <= weight <= MAX_WEIGHT for weight in self.weights)
        if not fits or (self.weights and max(self.weights) < 1 / MAX_WEIGHT):
            raise UsageError(
                f"policy {self.name}: one weight for each view, 0 to {MAX_WEIGHT:g}, and one of {1 / MAX_WEIGHT:g} or "
                f"more; got {self.weights}"
            )
        if not 0 < self.early_exit_threshold <= 1:
            raise UsageError(
                f"policy {self.name}: the early-exit threshold is above 0 and at most 1; "
                f"got {self.early_exit_threshold}"
            )
        check_choice("pick", self.pick, Pick)
        if self.averages not in get_args(Averaged):
            choices = " or ".join(get_args(Averaged))
            raise UsageError(f"policy {self.name}: it averages {choices}; got {self.averages!r:.40}")
        if self.exits_early and 0 in self.weights:
            raise UsageError(f"policy {self.name}: with an early exit, no view may have the weight 0")
        if self.weights[:1] == (0,):
            raise UsageError(
                f"policy {self.name}: the first view has a weight above 0, as with little time left it alone is run; "
                "name a view of the weight 0 after the others, or leave it out"
            )

    @property
    def images_per_view(self) -> int:
        """Number of images that the classifier gets for each chosen view: 2 with the horizontal flip, else 1."""
        return 2 if self.hflip else 1

    @property
    def max_views(self) -> int:
        """Largest number of images that the classifier gets for one frame."""
        return self.num_views * self.images_per_view

    @property
    def planned_views(self) -> int:
        """Largest number of images that both classifiers get for one frame: one more with the large classifier."""
        return self.max_views + self.large

    @property
    def needs_predictor(self) -> bool:
        """Whether the policy needs predicted losses."""
        return self.pick == "top"

    @property
    def ranks(self) -> bool:
        """Whether the policy chooses views by their losses, predicted or true."""
        return self.pick in ("top", "oracle")

    @property
    def takes_turns(self) -> bool:
        """Whether the four best-ranked views take turns over the frames of one object, whose decisions are combined.

        Only where a frame gets a single view, as more of them gain nothing by it; and not with a confidence model,
        which was fitted to the best-ranked view.
        """
        return self.ranks and self.max_views == 1 and self.confidence_model is None

    @property
    def exits_early(self) -> bool:
        """Whether the policy may stop before all views are run. Such a policy runs its views one by one."""
        return self.early_exit_threshold < 1

    def choose(
        self, losses: Floats | None, rng: np.random.Generator, frames: int = 1, views_before: Sequence[int] = ()
    ) -> Indices:
        """Chooses the views to run on each of some frames.

        Args:
            losses: float [frames, len(views)], predicted ("top") or true ("oracle") losses; nan counts as the highest.
                None for a policy that needs none.
            rng: Random generator of the picks "draw" and "random".
            frames: Number of frames.
            views_before: Number of views that were run on earlier frames of each frame's object; none if empty. The
                best-ranked views then take turns, if `takes_turns`.

        Returns:
            int [frames, num_views], indices into `views`, the most promising first, or the one whose turn it is.

        Raises:
            UsageError: There is not one loss for each of `views`.
        """
        if self.pick == "draw":
            return rng.integers(len(self.views), size=(frames, self.num_views))
        if self.pick == "random":
            return rng.random((frames, len(self.views))).argsort(axis=1)[:, : self.num_views]
        if self.pick == "all":
            return np.tile(np.arange(len(self.views)), (frames, 1))
        if losses is None or losses.shape[1:] != (len(self.views),):
            came = "no losses" if losses is None else f"losses of shape {list(losses.shape)}"
            raise UsageError(
                f"policy {self.name} ranks {len(self.views)} views, and got {came}; use a policy for the views of "
                "the loss predictor"
            )
        ranking = losses.argsort(axis=1, kind="stable")
        if not self.takes_turns or not any(views_before):
            return ranking[:, : self.num_views]
        return in_turn(ranking, np.asarray(views_before))

    def views_for(self, indices: Iterable[int]) -> tuple[tuple[str, ...], tuple[float, ...]]:
        """Returns the views to run for the chosen indices, flipped ones included, and the weight of each."""
        names, weights = [], []
        for index in indices:
            names.append(self.views[index])
            if self.hflip:
                names.append(flipped(self.views[index]))
            weights += [self.weights[index] if self.weights else 1.0] * self.images_per_view
        return tuple(names), tuple(weights)

    def with_large(
        self, names: tuple[str, ...], weights: tuple[float, ...]
    ) -> tuple[tuple[str, ...], tuple[float, ...]]:
        """Returns views and weights with what the large classifier runs, if the policy has one: the first view again.

        Args:
            names: Names of the views that the classifier runs, at least one.
            weights: Weight of each in the average.
        """
        return ((*names, LARGE + names[0]), (*weights, sum(weights))) if self.large else (names, weights)

    def with_predictor_views(self, predictor_views: Sequence[str]) -> Policy:
        """Returns the same policy for the views of another loss predictor; a policy that ranks no views stays as it is.

        Args:
            predictor_views: Names of the views whose losses it predicts, in the order of its outputs.

        Raises:
            UsageError: There are fewer of them than the policy chooses, or this version of allweather does not know all
                of them.
        """
        return replace(self, views=tuple(predictor_views), confidence_model=None) if self.ranks else self

    def fallback_views(self) -> tuple[tuple[str, ...], tuple[float, ...]]:
        """Returns what a ranking policy runs without losses: the identity, and the horizontal flip if it flips."""
        names = ("identity", FLIP) if self.hflip else ("identity",)
        return names, (1.0,) * len(names)


def flipped(name: str) -> str:
    """Returns the name of the horizontally flipped view."""
    return FLIP if name == "identity" else name + CHAIN + FLIP
