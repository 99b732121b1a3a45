"""What measured policies come to: errors, the share of the oracle's gain, where they look, and frames that turned."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from allweather.evaluation.metrics import intervals
from allweather.evaluation.model import EvaluatedModel
from allweather.evaluation.policy_outcomes import CENTER, Outcome, best_single_view, outcomes, relative_costs
from allweather.evaluation.provenance import Provenance
from allweather.runtimes.tta.policy import Policy
from allweather.runtimes.types import Image
from allweather.trainers.corruptions import COMMON, EXTRA
from allweather.trainers.corruptions.sets import CorruptedSet
from allweather.trainers.data.dataset import Dataset

TIMED = 20  # pictures that costs are measured on
GROUPS = {"clean": ("clean",), "common": COMMON, "extra": EXTRA}
SHOWN = 5  # frames that turned right, and as many that turned wrong


@dataclass(frozen=True)
class Error:
    """Share of wrong answers, 0..1, and its 95 % bootstrap interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class PolicyResult:
    """What one policy comes to.

    Attributes:
        policy: its name.
        runs: pictures that the classifier sees for a frame, mean: clean, common, extra; None without them.
        cost: wall-clock time of a clean frame beside that of one look, predictor included; None for an oracle.
        corrupted_cost: of frames of severity 3; None likewise, and without any.
        clean: error on the clean pictures.
        common: over the 15 common corruptions; None without them.
        extra: over the 4 others; None without them.
        captured: share of what the best single view would gain over one look, on the common ones; None where there is
            nothing to gain.
        errors: of each corruption, mean over severities.
        looks: of each corruption, how often each of the policy's views comes first, 0..1.
        views: names of these.
    """

    policy: str
    runs: dict[str, float | None]
    cost: float | None
    corrupted_cost: float | None
    clean: Error
    common: Error | None
    extra: Error | None
    captured: float | None
    errors: dict[str, float]
    looks: dict[str, tuple[float, ...]]
    views: tuple[str, ...]


@dataclass(frozen=True)
class ChangedPrediction:
    """A frame that one look gets wrong and a policy right, or the reverse.

    Attributes:
        policy: its name.
        better: whether it turned right.
        corruption: of the frame.
        severity: likewise.
        number: of the picture in its cell.
        label: the truth.
        view: that the policy likes best.
    """

    policy: str
    better: bool
    corruption: str
    severity: int
    number: int
    label: str
    view: str


@dataclass(frozen=True)
class PolicyEvaluation:
    """A target measured with several policies; one look and the best single view are always among them.

    Attributes:
        provenance: What was evaluated, on which data and machine.
        corrupted: where the corrupted pictures are from; "none" without.
        scores: one a policy.
        correlation: mean rank correlation of predicted and true losses: clean, common, extra; None without a predictor.
        turned: frames of the last policy that ranks views.
        seconds: it took.
    """

    provenance: Provenance
    corrupted: str
    scores: tuple[PolicyResult, ...]
    correlation: dict[str, float | None]
    turned: tuple[ChangedPrediction, ...]
    seconds: float


def evaluate_policies(
    target: EvaluatedModel,
    dataset: Dataset,
    corrupted: CorruptedSet | None,
    asked: Sequence[Policy],
    *,
    seed: int = 0,
    keep: Path | None = None,
    watch: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[PolicyEvaluation, list[Image]]:
    """Measures policies; see `outcomes` for the arguments.

    Returns:
        (the measures, uint8 [h, w, 3] of each frame in `turned`).
    """
    began = time.perf_counter()
    always = [CENTER, best_single_view(target)]
    policies = [*always, *(each for each in asked if each.name not in [policy.name for policy in always])]
    cells = outcomes(target, dataset, corrupted, policies, seed=seed, keep=keep, watch=watch)
    timed = [policy for policy in policies if policy.pick != "oracle"]
    clean = relative_costs(target, dataset.test.images[:TIMED].numpy(), timed)
    there = relative_costs(target, _some(corrupted), timed) if corrupted else [None] * len(timed)
    costs = {policy.name: each for policy, *each in zip(timed, clean, there, strict=True)}
    scores = [
        _score(number, policy, cells, costs.get(policy.name, (None, None))) for number, policy in enumerate(policies)
    ]
    turned = _turned(policies, cells, dataset, corrupted)
    result = PolicyEvaluation(
        provenance=Provenance.of(target, dataset, images=cells[-1].right.shape[1]),
        corrupted=corrupted.source if corrupted else "none",
        scores=tuple(scores),
        correlation={
            name: _mean([float(cell.alike.mean()) for cell in cells if cell.corruption in group])
            for name, group in GROUPS.items()
        },
        turned=turned,
        seconds=time.perf_counter() - began,
    )
    return result, [_picture(each, dataset, corrupted) for each in turned]


def _some(corrupted: CorruptedSet) -> Image:
    """Frames of severity 3, of one corruption after the other; uint8 [TIMED, h, w, 3]."""
    names, count = corrupted.corruptions, len(corrupted.labels)
    return np.stack([corrupted.image(names[each % len(names)], 3, each % count) for each in range(TIMED)])


def _score(number: int, policy: Policy, cells: Sequence[Outcome], costs: Sequence[float | None]) -> PolicyResult:
    by_name: dict[str, list[Outcome]] = {}
    for cell in cells:
        by_name.setdefault(cell.corruption, []).append(cell)
    looks = {
        name: np.bincount(np.concatenate([cell.first[number] for cell in group]), minlength=len(policy.views))
        for name, group in by_name.items()
    }
    clean, common, extra = (_error(number, cells, group) for group in GROUPS.values())
    assert clean is not None
    captured = None
    if common:
        center, oracle = _error(0, cells, COMMON), _error(1, cells, COMMON)
        assert center is not None
        assert oracle is not None
        gain = center.value - oracle.value
        captured = (center.value - common.value) / gain if gain > 0 else None
    return PolicyResult(
        policy=policy.name,
        runs={
            name: _mean([float(cell.runs[number].mean()) for cell in cells if cell.corruption in group])
            for name, group in GROUPS.items()
        },
        cost=costs[0],
        corrupted_cost=costs[1],
        clean=clean,
        common=common,
        extra=extra,
        captured=captured,
        errors={
            name: float(np.mean([1 - cell.right[number].mean() for cell in group]))
            for name, group in by_name.items()
            if name != "clean"
        },
        looks={name: tuple((counts / counts.sum()).tolist()) for name, counts in looks.items()},
        views=policy.views,
    )


def _error(number: int, cells: Sequence[Outcome], group: Sequence[str]) -> Error | None:
    inside = [~cell.right[number] for cell in cells if cell.corruption in group]
    if not inside:
        return None
    wrong = np.stack(inside)
    (low,), (high,) = intervals(wrong, np.full((1, len(wrong)), 1 / len(wrong)))
    return Error(float(wrong.mean()), float(low), float(high))


def _mean(cells: Sequence[float]) -> float | None:
    """None where there is nothing, or a cell is not known."""
    return float(np.mean(cells)) if cells and not np.isnan(cells).any() else None


def _turned(
    policies: Sequence[Policy], cells: Sequence[Outcome], dataset: Dataset, corrupted: CorruptedSet | None
) -> tuple[ChangedPrediction, ...]:
    """Some frames of as many corruptions, of the last policy that ranks views."""
    ranking = [number for number, policy in enumerate(policies) if policy.needs_predictor]
    if not ranking:
        return ()
    number, found = ranking[-1], []
    for better in (True, False):
        seen: set[str] = set()
        for cell in sorted(cells, key=lambda each: abs(each.severity - 3)):
            center, ours = cell.right[0], cell.right[number]
            places = np.flatnonzero((ours & ~center) if better else (center & ~ours))
            if len(places) == 0 or cell.corruption in seen or len(seen) == SHOWN:
                continue
            seen.add(cell.corruption)
            place = int(places[0])
            labels = dataset.test.labels.numpy() if cell.corruption == "clean" or not corrupted else corrupted.labels
            found.append(
                ChangedPrediction(
                    policies[number].name,
                    better,
                    cell.corruption,
                    cell.severity,
                    place,
                    dataset.classes[int(labels[place])],
                    policies[number].views[int(cell.first[number, place])],
                )
            )
    return tuple(found)


def _picture(turned: ChangedPrediction, dataset: Dataset, corrupted: CorruptedSet | None) -> Image:
    if turned.corruption == "clean" or corrupted is None:
        return np.asarray(dataset.test.images[turned.number].numpy(), np.uint8)
    return corrupted.image(turned.corruption, turned.severity, turned.number)
