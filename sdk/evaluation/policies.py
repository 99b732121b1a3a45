"""Evaluation of test-time augmentation policies: errors, latency, chosen views, and predictions that change."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from allweather.evaluation.error_rate import Correctness, ErrorChange, ErrorRate, error_change, error_rate
from allweather.evaluation.policy_outcomes import (
    MEDIUM_SEVERITY,
    CellOutcome,
    best_single_view,
    latency_ratios,
    run_policies,
    timed_images,
)
from allweather.evaluation.provenance import Provenance
from allweather.runtimes.system.path_argument import as_path
from allweather.runtimes.text import NOT_IN_JSON
from allweather.runtimes.tta.policy import Policy
from allweather.runtimes.types import Image
from allweather.trainers.corruptions import COMMON, EXTRA
from allweather.trainers.corruptions.sets import CorruptedSet
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.inference.open_model import EvaluatedModel
from allweather.trainers.policies.average import CENTER

GROUPS = {"clean": ("clean",), "common": COMMON, "extra": EXTRA}  # corruptions whose cells are averaged together
MAX_CHANGED = 5  # predictions that a policy improves and that are shown, and as many that it makes incorrect


@dataclass(frozen=True)
class PolicyResult:
    """Result of evaluating one policy.

    Attributes:
        policy: Name of the policy.
        mean_views: Mean number of images that the classifier gets for a frame, by group of images: "clean", "common"
            and "extra"; None for a group without images.
        latency_ratio: Wall-clock time for a clean image, relative to that of one view, with the loss predictor; None
            for an oracle.
        corrupted_latency_ratio: The same for corrupted images of severity 3; None without corrupted images, too.
        clean: Error on the clean images.
        common: Error over the 15 common corruptions; None without them.
        extra: Error over the 4 other corruptions; None without them.
        changes: Difference of its error to that of one view, -1..1, with a paired 95 % interval, by group of images, as
            `mean_views`; all None for one view itself.
        share_of_oracle_gain: How much of the accuracy that the best single view gains over one view the policy gains,
            on the common corruptions, 1 for all of it; None if there is nothing to gain.
        errors: Mean error over the severities of each corruption, 0..1.
        view_shares: For each corruption, how often each of `views` is ranked first, 0..1.
        views: Names of the policy's views.
        coverage: Share of accepted decisions, 0..1, by group of images, as `mean_views`; all None for a policy that
            has no threshold.
        selective_risk: Share of errors among accepted decisions, likewise; None where none was accepted.
        correctness: Which of its predictions are correct, for `paired_difference`; not in JSON.
    """

    policy: str
    mean_views: dict[str, float | None]
    latency_ratio: float | None
    corrupted_latency_ratio: float | None
    clean: ErrorRate
    common: ErrorRate | None
    extra: ErrorRate | None
    changes: dict[str, ErrorChange | None]
    share_of_oracle_gain: float | None
    errors: dict[str, float]
    view_shares: dict[str, tuple[float, ...]]
    views: tuple[str, ...]
    coverage: dict[str, float | None]
    selective_risk: dict[str, float | None]
    correctness: Correctness = field(repr=False, compare=False, metadata=NOT_IN_JSON)


@dataclass(frozen=True)
class ChangedPrediction:
    """An image that one view predicts incorrectly and a policy correctly, or the reverse.

    Attributes:
        policy: Name of the policy.
        improved: Whether the policy's prediction is the correct one.
        corruption: Name of the image's corruption, or "clean".
        severity: 1 to 5, or 0 for a clean image.
        index: Index of the image in its cell.
        label: Name of the true class.
        view: Name of the view that the policy ranks first.
    """

    policy: str
    improved: bool
    corruption: str
    severity: int
    index: int
    label: str
    view: str


@dataclass(frozen=True)
class PolicyEvaluation:
    """Result of evaluating several policies of one model; "center" and the best single view are always among them.

    Attributes:
        provenance: What was evaluated, on which data and machine.
        corrupted: Where the corrupted images come from; "none" without them.
        results: One result for each policy.
        rank_correlation: Mean rank correlation of predicted and true losses, by group of images: "clean", "common" and
            "extra"; None for a group without images, and without a loss predictor.
        changed_predictions: Examples of the last policy that ranks views.
        seconds: Seconds that the evaluation took.
    """

    provenance: Provenance
    corrupted: str
    results: tuple[PolicyResult, ...]
    rank_correlation: dict[str, float | None]
    changed_predictions: tuple[ChangedPrediction, ...]
    seconds: float


def policy_evaluation(
    evaluated: EvaluatedModel,
    dataset: Dataset,
    corrupted: CorruptedSet | None,
    requested: Sequence[Policy],
    *,
    seed: int = 0,
    keep: Path | str | None = None,
    watch: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[PolicyEvaluation, list[Image]]:
    """Evaluates policies on the clean test images of a data set and on a corrupted set.

    Args:
        evaluated: The model; see `open_model`.
        dataset: A data set of its classes and input size; its test split holds the clean images, all of which can be
            read; see `Dataset.readable`.
        corrupted: Corrupted images of the same classes; None for the clean images alone.
        requested: Policies to evaluate besides "center" and the best single view.
        seed: Random seed of policies that draw views; the same seed gives the same result.
        keep: Folder for finished cells; see `run_policies`.
        watch: Called with (cells done, cells in total).

    Returns:
        The result, and the image, uint8 [h, w, 3], of each of its changed predictions.

    Raises:
        UsageError: A policy ranks views and the model has no loss predictor.
        OutputError: `keep` cannot be written.
    """
    keep = None if keep is None else as_path(keep)
    started = time.perf_counter()
    one_view = next((each for each in requested if each.name == CENTER.name), CENTER)  # perhaps a tuned one
    always = [one_view, best_single_view(evaluated)]
    policies = [*always, *(each for each in requested if each.name not in [policy.name for policy in always])]
    outcomes = run_policies(evaluated, dataset, corrupted, policies, seed=seed, keep=keep, watch=watch)
    timed = [policy for policy in policies if policy.pick != "oracle"]
    clean = latency_ratios(evaluated, timed_images(dataset), timed)
    other = latency_ratios(evaluated, timed_images(dataset, corrupted), timed) if corrupted else [None] * len(timed)
    ratios = {policy.name: each for policy, *each in zip(timed, clean, other, strict=True)}
    changed = _changed_predictions(policies, outcomes, dataset, corrupted)
    images = Correctness.of(dataset, {}, corrupted)
    result = PolicyEvaluation(
        provenance=Provenance.of(evaluated, dataset, images=outcomes[-1].correct.shape[1]),
        corrupted=corrupted.source if corrupted else "none",
        results=tuple(
            _policy_result(index, policy, outcomes, ratios.get(policy.name, (None, None)), images)
            for index, policy in enumerate(policies)
        ),
        rank_correlation={
            name: _mean([float(cell.rank_correlation.mean()) for cell in outcomes if cell.corruption in group])
            for name, group in GROUPS.items()
        },
        changed_predictions=changed,
        seconds=time.perf_counter() - started,
    )
    return result, [_image_of(each, dataset, corrupted) for each in changed]


def _policy_result(
    index: int, policy: Policy, outcomes: Sequence[CellOutcome], ratios: Sequence[float | None], images: Correctness
) -> PolicyResult:
    """Returns the result of the policy with this index in the outcomes."""
    by_corruption: dict[str, list[CellOutcome]] = {}
    for cell in outcomes:
        by_corruption.setdefault(cell.corruption, []).append(cell)
    view_counts = {
        name: np.bincount(np.concatenate([cell.first_view[index] for cell in cells]), minlength=len(policy.views))
        for name, cells in by_corruption.items()
    }
    clean, common, extra = (_error_rate(index, outcomes, group) for group in GROUPS.values())
    assert clean is not None
    accepted = {name: _accepted(index, policy, outcomes, group) for name, group in GROUPS.items()}
    return PolicyResult(
        policy=policy.name,
        mean_views={
            name: _mean([float(cell.views_run[index].mean()) for cell in outcomes if cell.corruption in group])
            for name, group in GROUPS.items()
        },
        latency_ratio=ratios[0],
        corrupted_latency_ratio=ratios[1],
        clean=clean,
        common=common,
        extra=extra,
        changes={
            name: error_change(_correct(0, outcomes, group), _correct(index, outcomes, group)) if index else None
            for name, group in GROUPS.items()
        },
        share_of_oracle_gain=_share_of_oracle_gain(common, outcomes),
        errors={
            name: float(np.mean([1 - cell.correct[index].mean() for cell in cells]))
            for name, cells in by_corruption.items()
            if name != "clean"
        },
        view_shares={name: tuple((counts / counts.sum()).tolist()) for name, counts in view_counts.items()},
        views=policy.views,
        coverage={name: coverage for name, (coverage, _) in accepted.items()},
        selective_risk={name: risk for name, (_, risk) in accepted.items()},
        correctness=replace(images, cells={(cell.corruption, cell.severity): cell.correct[index] for cell in outcomes}),
    )


def _accepted(
    index: int, policy: Policy, outcomes: Sequence[CellOutcome], group: Sequence[str]
) -> tuple[float | None, float | None]:
    """Returns the coverage and the selective risk of the policy with this index over a group of corruptions."""
    cells = [cell for cell in outcomes if cell.corruption in group]
    if not cells or policy.confidence_model is None or policy.confidence_model.acceptance is None:
        return None, None
    accepted = np.concatenate([cell.accepted[index] for cell in cells])
    correct = np.concatenate([cell.correct[index] for cell in cells])
    return float(accepted.mean()), float((~correct[accepted]).mean()) if accepted.any() else None


def _share_of_oracle_gain(common: ErrorRate | None, outcomes: Sequence[CellOutcome]) -> float | None:
    center, oracle = _error_rate(0, outcomes, COMMON), _error_rate(1, outcomes, COMMON)
    if common is None or center is None or oracle is None:
        return None
    gain = center.value - oracle.value
    return (center.value - common.value) / gain if gain > 0 else None


def _error_rate(index: int, outcomes: Sequence[CellOutcome], group: Sequence[str]) -> ErrorRate | None:
    """Returns the error of the policy with this index over a group of corruptions; None without images of it."""
    return error_rate(_correct(index, outcomes, group))


def _correct(index: int, outcomes: Sequence[CellOutcome], group: Sequence[str]) -> list[npt.NDArray[np.bool_]]:
    """Returns which predictions of a policy are correct, for each cell of a group of corruptions."""
    return [cell.correct[index] for cell in outcomes if cell.corruption in group]


def _mean(values: Sequence[float]) -> float | None:
    """Returns the mean of the cells' values; None without any, or if one is nan."""
    return float(np.mean(values)) if values and not np.isnan(values).any() else None


def _changed_predictions(
    policies: Sequence[Policy], outcomes: Sequence[CellOutcome], dataset: Dataset, corrupted: CorruptedSet | None
) -> tuple[ChangedPrediction, ...]:
    """Returns examples for the last policy that ranks views, each of another corruption, medium severity first."""
    ranking = [index for index, policy in enumerate(policies) if policy.needs_predictor]
    if not ranking:
        return ()
    last, changed = ranking[-1], []
    for improved in (True, False):
        shown: set[str] = set()
        for cell in sorted(outcomes, key=lambda each: abs(each.severity - MEDIUM_SEVERITY)):
            center, policy = cell.correct[0], cell.correct[last]
            indices = np.flatnonzero((policy & ~center) if improved else (center & ~policy))
            if len(indices) == 0 or cell.corruption in shown or len(shown) == MAX_CHANGED:
                continue
            shown.add(cell.corruption)
            index = int(indices[0])
            labels = dataset.test.labels.numpy() if cell.corruption == "clean" or not corrupted else corrupted.labels
            changed.append(
                ChangedPrediction(
                    policy=policies[last].name,
                    improved=improved,
                    corruption=cell.corruption,
                    severity=cell.severity,
                    index=index,
                    label=dataset.classes[int(labels[index])],
                    view=policies[last].views[int(cell.first_view[last, index])],
                )
            )
    return tuple(changed)


def _image_of(changed: ChangedPrediction, dataset: Dataset, corrupted: CorruptedSet | None) -> Image:
    if changed.corruption == "clean" or corrupted is None:
        (image,) = dataset.test.take(torch.tensor([changed.index])).loaded().images.numpy()
        return np.asarray(image, np.uint8)
    return corrupted.image(changed.corruption, changed.severity, changed.index)
