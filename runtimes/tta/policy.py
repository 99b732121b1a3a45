"""Policies: which views of a frame are run, and how their answers become one. Small values that travel in bundles."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

import numpy as np
import numpy.typing as npt

from allweather.runtimes.errors import UsageError, unknown_name
from allweather.runtimes.tta.views import CLASSIC_VIEWS, THEN, VIEWS, view
from allweather.runtimes.types import Floats

Indices = npt.NDArray[np.int64]
Pick = Literal["all", "draw", "random", "top", "oracle"]
FLIP = "hflip"
CROPS = tuple(name for name in CLASSIC_VIEWS if name.startswith("crop"))
FORMS = (
    "center", "hflip", "5crop", "10crop", "all", "random:K", "set:VIEW,VIEW,...", "set:VIEW,VIEW,...:N",
    "gps:K", "learned", "top:K", "top:K+flip", "oracle:K", "POLICY@SHARE",
)  # fmt: skip
TUNED = ("gps", "learned")  # found by `allweather tune`, not by their names alone
MAX_VIEWS = 64  # views a frame; no vote gains from more, and a hostile bundle could ask for millions


@dataclass(frozen=True)
class Policy:
    """How a frame is looked at.

    Attributes:
        name: as it is written: "top:2+flip".
        pick: how views are chosen: all of them; `count` draws, with repetition; a random subset of `count`; the `count`
            of the lowest predicted loss; or of the lowest true loss, which only an evaluation knows.
        views: names to choose from.
        count: how many are chosen.
        flips: whether each chosen view is run mirrored, too.
        weights: of `views` in the vote, in their order; equal where empty.
        settled: no further view is run once a class has more than this share of the vote; with 1 all are.
    """

    name: str
    pick: Pick
    views: tuple[str, ...]
    num_views: int
    hflip: bool = False
    weights: tuple[float, ...] = ()
    early_exit_threshold: float = 1.0
    __pydantic_config__ = MappingProxyType({"extra": "forbid"})  # where it is read from a manifest or checkpoint

    def __post_init__(self) -> None:
        """Refuses what cannot be run.

        Raises:
            UsageError: naming what is wrong.
        """
        repeats = self.pick == "draw"
        most = MAX_VIEWS if repeats else len(self.views)
        if len(self.views) > MAX_VIEWS:
            raise UsageError(f"policy {self.name}: at most {MAX_VIEWS} views; got {len(self.views)}")
        for name in self.views:
            view(name)
        if self.pick in ("top", "oracle") and self.views != tuple(VIEWS):
            raise UsageError(f"policy {self.name}: losses are known of the {len(VIEWS)} views alone, in their order")
        if self.weights and self.pick != "all":
            raise UsageError(f"policy {self.name}: weights go with views that are all run")
        if not self.views or not 1 <= self.num_views <= most:
            raise UsageError(f"policy {self.name}: the number of views is 1 to {most}; got {self.num_views}")
        if not repeats and len(set(self.views)) < len(self.views):
            raise UsageError(f"policy {self.name}: a view is named twice; 'set:VIEW,...:N' draws with repetition")
        fits = len(self.weights) in (0, len(self.views)) and all(0 <= weight < math.inf for weight in self.weights)
        if not fits or (self.weights and not sum(self.weights) > 0):
            raise UsageError(f"policy {self.name}: one weight a view, all >= 0 and one above; got {self.weights}")
        if not 0 < self.early_exit_threshold <= 1:
            raise UsageError(f"policy {self.name}: the share that settles a vote is above 0, at most 1")
        if self.exits_early and 0 in self.weights:
            raise UsageError(f"policy {self.name}: no view may weigh 0 where the first could settle the vote")

    @property
    def images_per_view(self) -> int:
        """Pictures run for each chosen view: 2 where it is run mirrored, too."""
        return 2 if self.hflip else 1

    @property
    def max_views(self) -> int:
        """Most pictures that the classifier sees for a frame."""
        return self.num_views * self.images_per_view

    @property
    def needs_predictor(self) -> bool:
        """Whether it needs predicted losses."""
        return self.pick == "top"

    @property
    def exits_early(self) -> bool:
        """Whether a vote may settle before all views are run, so that they go one by one."""
        return self.early_exit_threshold < 1

    def choose(self, losses: Floats | None, rng: np.random.Generator, frames: int = 1) -> Indices:
        """Which views to run on each of some frames.

        Args:
            losses: float [frames, len(views)], predicted ("top") or true ("oracle"); a nan is taken for the worst. None
                for a policy that needs none.
            rng: for "draw" and "random".
            frames: how many.

        Returns:
            int [frames, count], places in `views`, the most promising first.
        """
        if self.pick == "draw":
            return rng.integers(len(self.views), size=(frames, self.num_views))
        if self.pick == "random":
            return rng.random((frames, len(self.views))).argsort(axis=1)[:, : self.num_views]
        if self.pick == "all":
            return np.tile(np.arange(len(self.views)), (frames, 1))
        assert losses is not None
        return losses.argsort(axis=1, kind="stable")[:, : self.num_views]

    def views_for(self, indices: Iterable[int]) -> tuple[tuple[str, ...], tuple[float, ...]]:
        """Names of the pictures to run for chosen views, and the weight of each in the vote."""
        names, weights = [], []
        for index in indices:
            name, weight = self.views[index], self.weights[index] if self.weights else 1.0
            names.append(name)
            if self.hflip:
                names.append(FLIP if name == "identity" else name + THEN + FLIP)
            weights += [weight] * self.images_per_view
        return tuple(names), tuple(weights)


def parse_policy(text: str, tuned: Sequence[Policy] = ()) -> Policy:
    """The policy that a text stands for.

    Args:
        text: one of `FORMS`, with numbers and names put in.
        tuned: those that a checkpoint or bundle holds; they go by their own names.

    Raises:
        UsageError: there is no such policy, its numbers cannot be, or it must be tuned first.
    """
    if not isinstance(text, str):
        raise UsageError(f"a policy is a text such as 'top:1'; got {text!r}")
    for each in tuned:
        if each.name == text:
            return each
    base, exits_early, share = text.partition("@")
    if exits_early:
        return replace(parse_policy(base, tuned), name=text, early_exit_threshold=_share(text, share))
    kind, _, rest = text.partition(":")
    every = tuple(VIEWS)
    fixed = {
        "center": ("identity",),
        "hflip": ("identity", FLIP),
        "5crop": CROPS,
        "10crop": (*CROPS, *(name + THEN + FLIP for name in CROPS)),
        "all": every,
    }
    if text in fixed:
        return Policy(text, "all", fixed[text], len(fixed[text]))
    if kind == "random":
        return Policy(text, "random", every, _parse_count(text, rest))
    if kind == "oracle":
        return Policy(text, "oracle", every, _parse_count(text, rest))
    if kind == "top":
        return Policy(text, "top", every, _parse_count(text, rest.removesuffix("+flip")), hflip=rest.endswith("+flip"))
    if kind == "set":
        listed, _, num_views = rest.partition(":")
        names = tuple(listed.split(","))
        return Policy(
            text, "draw" if num_views else "all", names, _parse_count(text, num_views) if num_views else len(names)
        )
    if kind in TUNED:
        have = ", ".join(each.name for each in tuned) or "none"
        raise UsageError(f"policy {text} is found by tuning, and this has {have}; run allweather tune --policy {text}")
    raise unknown_name("policy", text, FORMS)


def _parse_count(text: str, number: str) -> int:
    if not number.isascii() or not number.isdigit() or len(number) > 9:
        raise UsageError(f"policy {text!r} wants a number of views, such as {text.split(':')[0]}:2; got {number!r}")
    return int(number)


def _share(text: str, number: str) -> float:
    try:
        return float(number)
    except ValueError:
        raise UsageError(
            f"policy {text!r} wants the share of the vote that settles it, such as {text.split('@')[0]}@0.95"
        ) from None
