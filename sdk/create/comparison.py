"""Compares the systems that were made, on clean and corrupted test images: errors, reliability, views and times."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from allweather.evaluation.error_rate import ErrorRate, error_change, error_rate
from allweather.evaluation.metrics import calibration_error, reliability_bins
from allweather.evaluation.policy_outcomes import CellOutcome, run_policies
from allweather.runtimes.load import load
from allweather.runtimes.perceiver import Perceiver
from allweather.runtimes.system.device import this_device
from allweather.runtimes.tta.policy_names import parse_policy
from allweather.runtimes.types import Image
from allweather.trainers.corruptions import COMMON, CORRUPTIONS, EXTRA, FAMILIES
from allweather.trainers.corruptions.sets import CorruptedSet
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.inference.open_model import open_model
from allweather.trainers.policies.average import CENTER

CLEAN, MEAN = "clean", "common"
TTA = " + TTA"  # end of the name of a system that runs the policy of its bundle
TIMED_IMAGES, ROUNDS = 20, 3  # decisions that are timed, in turns
MEDIUM_SEVERITY = 3  # of the corrupted images that are timed and shown
# corruptions that an error is averaged over; the families are those of the fifteen common ones
GROUPS: Mapping[str, tuple[str, ...]] = {
    CLEAN: (CLEAN,),
    MEAN: tuple(COMMON),
    **{family: tuple(name for name in COMMON if CORRUPTIONS[name].family == family) for family in FAMILIES},
    "extra": tuple(EXTRA),
}


@dataclass(frozen=True)
class System:
    """A system to compare.

    Attributes:
        name: Its name in the report, such as "robust + TTA".
        bundle: The bundle that it runs.
        policy: Text of its policy; None for that of the bundle.
    """

    name: str
    bundle: Path
    policy: str | None


@dataclass(frozen=True)
class SystemResult:
    """How one system did.

    Attributes:
        name: Its name.
        backend: Engine and precision that ran it.
        policy: Its policy of test-time augmentation.
        errors: Share of incorrect predictions, 0..1, with 95 % intervals, by the names of `GROUPS`; those without
            images are missing.
        by_severity: Errors at severity 1 to 5 of each corruption.
        calibration_error: Expected calibration error over all corrupted images, 0..1.
        reliability: For each bin of confidence (number of images, mean confidence, accuracy), over these images.
        views: Mean number of views of a clean and of a corrupted image.
        milliseconds: Median and 95th percentile of the time of a decision.
        change: Difference of its error on the common corruptions to that of the system before, -1..1, with a paired
            95 % interval; None for the first system, and without such images.
    """

    name: str
    backend: str
    policy: str
    errors: dict[str, ErrorRate]
    by_severity: dict[str, tuple[float, ...]]
    calibration_error: float
    reliability: tuple[tuple[int, float, float], ...]
    views: tuple[float, float]
    milliseconds: tuple[float, float]
    change: ErrorRate | None = None


@dataclass(frozen=True)
class Example:
    """A corrupted test image that the systems do not all predict alike.

    Attributes:
        corruption: Name of its corruption.
        severity: 1 to 5.
        index: Index of the image in its cell.
        label: Name of the true class.
        predicted: Name of the class that each system predicts, by the name of the system.
    """

    corruption: str
    severity: int
    index: int
    label: str
    predicted: dict[str, str]


@dataclass(frozen=True)
class Comparison:
    """Result of comparing the systems, the plain one first.

    Attributes:
        data: Name of the data set.
        images: Number of images of each cell.
        corrupted: Where the corrupted images come from.
        machine: The machine in words.
        systems: One result for each system.
        examples: An image of each corruption for which there is one.
    """

    data: str
    images: int
    corrupted: str
    machine: str
    systems: tuple[SystemResult, ...]
    examples: tuple[Example, ...]


def compare(
    systems: Sequence[System],
    dataset: Dataset,
    corrupted: CorruptedSet,
    *,
    seed: int,
    keep: Path,
    watch: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[Comparison, list[Image]]:
    """Evaluates the systems, each in the engine and precision that its bundle prefers here.

    Args:
        systems: Systems of the same classes, in the order of the data set.
        dataset: Its test split holds the clean images, all of which can be read; see `Dataset.readable`.
        corrupted: Corrupted images of the same classes.
        seed: Random seed of policies that draw views.
        keep: Folder for finished parts, from which a later call goes on.
        watch: Called with (steps done, steps in total).

    Returns:
        The result, and the image of each of its examples, uint8 [h, w, 3].

    Raises:
        EngineError: No engine here runs a bundle.
        OutputError: `keep` cannot be written to.
    """
    bundles = list(dict.fromkeys(system.bundle for system in systems))
    outcomes: dict[str, list[CellOutcome]] = {}
    facts: dict[str, tuple[str, str]] = {}
    rows: dict[str, int] = {}
    for number, bundle in enumerate(bundles):
        mine = [system for system in systems if system.bundle == bundle]
        with open_model(bundle) as opened:
            usual = opened.policies[0] if opened.policies else CENTER
            chosen = [
                parse_policy(system.policy, opened.policies, opened.predictor_views) if system.policy else usual
                for system in mine
            ]
            distinct = list(dict.fromkeys(chosen))
            if not any(policy.needs_predictor for policy in distinct):  # whose views would be run as well
                opened = dataclasses.replace(opened, predict_losses=None)

            def watch_bundle(done: int, total: int, before: int = number) -> None:
                watch(before * total + done, len(bundles) * total)

            of_bundle = run_policies(
                opened, dataset, corrupted, distinct, seed=seed, keep=keep / str(number), watch=watch_bundle
            )
            for system, policy in zip(mine, chosen, strict=True):
                outcomes[system.name], rows[system.name] = of_bundle, distinct.index(policy)
                facts[system.name] = opened.backend, policy.name
    with ExitStack() as stack:
        perceivers = {system.name: stack.enter_context(load(system.bundle, policy=system.policy)) for system in systems}
        times = _decision_times(perceivers, corrupted)
        examples, images = _examples(perceivers, outcomes, rows, dataset.classes, corrupted)
    results = tuple(
        _result(system.name, facts[system.name], outcomes[system.name], rows[system.name], times[system.name])
        for system in systems
    )
    changes: list[ErrorRate | None] = [None]
    for one, other in pairwise(system.name for system in systems):
        pair = (_correct(outcomes[name], rows[name], COMMON) for name in (one, other))
        changes.append(error_change(*pair))
    results = tuple(dataclasses.replace(each, change=change) for each, change in zip(results, changes, strict=True))
    count = len(corrupted.labels)
    return Comparison(dataset.name, count, corrupted.source, this_device().line(), results, examples), images


def _result(
    name: str, facts: tuple[str, str], outcomes: Sequence[CellOutcome], row: int, milliseconds: tuple[float, float]
) -> SystemResult:
    clean = [cell for cell in outcomes if cell.corruption == CLEAN]
    corrupted = [cell for cell in outcomes if cell.corruption != CLEAN]
    errors = {group: error_rate(_correct(outcomes, row, members)) for group, members in GROUPS.items()}
    by_severity: dict[str, tuple[float, ...]] = {}
    for cell in corrupted:
        by_severity[cell.corruption] = (*by_severity.get(cell.corruption, ()), float(1 - cell.correct[row].mean()))
    bins = reliability_bins(
        np.concatenate([cell.confidence[row] for cell in corrupted]),
        np.concatenate([cell.correct[row] for cell in corrupted]),
    )
    return SystemResult(
        name=name,
        backend=facts[0],
        policy=facts[1],
        errors={group: error for group, error in errors.items() if error is not None},
        by_severity=by_severity,
        calibration_error=calibration_error(bins),
        reliability=bins,
        views=(_mean_views(clean, row), _mean_views(corrupted, row)),
        milliseconds=milliseconds,
    )


def _correct(outcomes: Sequence[CellOutcome], row: int, group: Sequence[str]) -> list[npt.NDArray[np.bool_]]:
    """Returns which predictions of a system are correct, for each cell of a group of corruptions."""
    return [cell.correct[row] for cell in outcomes if cell.corruption in group]


def _mean_views(cells: Sequence[CellOutcome], row: int) -> float:
    return float(np.mean([cell.views_run[row].mean() for cell in cells]))


def _decision_times(perceivers: Mapping[str, Perceiver], corrupted: CorruptedSet) -> dict[str, tuple[float, float]]:
    """Measures the median and 95th percentile of the milliseconds of a decision; the systems take turns."""
    names, count = corrupted.corruptions, len(corrupted.labels)
    images = [corrupted.image(names[each % len(names)], MEDIUM_SEVERITY, each % count) for each in range(TIMED_IMAGES)]
    seconds: dict[str, list[float]] = {name: [] for name in perceivers}
    for image in images * ROUNDS:
        for name, perceiver in perceivers.items():
            seconds[name].append(perceiver(image).times.total)
    return {
        name: (1000 * float(np.median(each)), 1000 * float(np.quantile(each, 0.95))) for name, each in seconds.items()
    }


def _examples(
    perceivers: Mapping[str, Perceiver],
    outcomes: Mapping[str, Sequence[CellOutcome]],
    rows: Mapping[str, int],
    classes: Sequence[str],
    corrupted: CorruptedSet,
) -> tuple[tuple[Example, ...], list[Image]]:
    """Returns for each corruption an image that the first and the last system do not both predict correctly or wrongly.

    The first such image at medium severity that is not shown yet is taken, whichever of the systems is right.
    """
    examples: list[Example] = []
    images: list[Image] = []
    first, *_, last = perceivers
    for one, other in zip(outcomes[first], outcomes[last], strict=True):
        if one.severity != MEDIUM_SEVERITY:
            continue
        different = np.flatnonzero(one.correct[rows[first]] != other.correct[rows[last]])
        if len(different):
            shown = [each.index for each in examples]
            index = int(next((each for each in different if each not in shown), different[0]))
            image = corrupted.image(one.corruption, one.severity, index)
            predicted = {name: perceiver(image).label for name, perceiver in perceivers.items()}
            label = classes[int(corrupted.labels[index])]
            examples.append(Example(one.corruption, one.severity, index, label, predicted))
            images.append(image)
    return tuple(examples), images
