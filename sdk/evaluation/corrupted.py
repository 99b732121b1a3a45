"""Evaluation of a classifier on a corrupted test set: cell by cell, shared by several processes, resumable."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from allweather.evaluation.baselines import Baseline
from allweather.evaluation.error_rate import CLEAN, CellKey, Correctness
from allweather.evaluation.metrics import (
    Metrics,
    bootstrap_intervals,
    calibration_error,
    compute_metrics,
    mean_corruption_error,
    reliability_bins,
)
from allweather.evaluation.provenance import Provenance
from allweather.evaluation.robustness import Cell, GroupMean, Mistake, Robustness
from allweather.runtimes.system.atomic_files import atomic_file
from allweather.runtimes.system.path_argument import as_path
from allweather.runtimes.text import printable
from allweather.runtimes.types import Floats, Image
from allweather.trainers.corruptions import COMMON, EXTRA
from allweather.trainers.corruptions.corruption import SEVERITIES
from allweather.trainers.corruptions.sets import CorruptedSet, GeneratedSet, Labels, PartOfSet
from allweather.trainers.corruptions.sets.files_digest import files_digest
from allweather.trainers.data.dataset import Dataset, Split
from allweather.trainers.inference.forward import all_reduced
from allweather.trainers.inference.open_model import BATCH_SIZE, EvaluatedModel

if TYPE_CHECKING:
    from lightning_fabric import Fabric

FINGERPRINT_IMAGES = 16  # images and predictions that the resume key is made from


def corrupted_evaluation(
    evaluated: EvaluatedModel,
    dataset: Dataset,
    corrupted: CorruptedSet,
    *,
    baseline: Baseline | None = None,
    fabric: Fabric | None = None,
    keep: Path | str | None = None,
    watch: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[Robustness, dict[str, Image]]:
    """Evaluates an open model on the clean test images of a data set and on a corrupted test set.

    The processes of `fabric` share the cells; each generates or reads the images of its own cells, batch by batch.

    Args:
        evaluated: The model; see `open_model`.
        dataset: A data set of its classes and input size; its test split holds the clean images, all of which can be
            read; see `Dataset.readable`.
        corrupted: Corrupted images of the same classes.
        baseline: Baseline of the mean corruption error; None for no such error.
        fabric: Launched processes; None for this process alone.
        keep: Folder for finished cells, from which a later call with the same arguments resumes; the caller removes it
            after saving the result.
        watch: Called with (cells done, cells in total) of this process.

    Returns:
        The result, and for each of its mistakes the image, uint8 [h, w, 3], by corruption.

    Raises:
        UsageError: The baseline has no error for one of the 15 common corruptions of the set.
        OutputError: `keep` cannot be written.
    """
    keep = None if keep is None else as_path(keep)
    expected = {name: 1.0 for name in corrupted.corruptions if name in COMMON}
    if baseline is not None and expected:  # a missing error is reported now rather than after hours
        mean_corruption_error(expected, baseline.errors)
    logits = [evaluated.logits(batch.images.numpy()) for batch in dataset.test.batches(BATCH_SIZE)]
    clean = compute_metrics(np.concatenate(logits), dataset.test.labels.numpy())
    keys = list(product(corrupted.corruptions, SEVERITIES))
    folder = keep / resume_key_of(evaluated, corrupted, dataset) if keep else None
    table = _evaluate_cells(evaluated, corrupted, keys, folder, fabric, watch)
    metrics = [_metrics_from_rows(rows, corrupted.labels) for rows in table]
    cells = _cells([CLEAN], [clean]) + _cells(keys, metrics)
    common, extra = (_group_mean(group, keys, metrics) for group in (COMMON, EXTRA))
    correct = [each.correct for each in (clean, *metrics)]
    result = Robustness(
        provenance=Provenance.of(
            evaluated,
            dataset,
            images=len(corrupted.labels),
            notes=_notes(dataset, corrupted, common, baseline),
        ),
        corrupted=corrupted.source,
        classes=evaluated.classes,
        clean=cells[0],
        cells=cells[1:],
        common=common,
        extra=extra,
        mce=None,
        baseline=baseline.name if baseline else None,
        reliability=reliability_bins(
            np.concatenate([each.confidence for each in metrics]), np.concatenate([each.correct for each in metrics])
        ),
        mistakes=_worst_mistakes(keys, metrics, corrupted.labels, evaluated.classes),
        correctness=Correctness.of(dataset, dict(zip([CLEAN, *keys], correct, strict=True)), corrupted),
    )
    if baseline and common and not common.missing:
        errors = result.mean_errors()
        result = replace(result, mce=mean_corruption_error({name: errors[name] for name in COMMON}, baseline.errors))
    images = {
        mistake.corruption: corrupted.image(mistake.corruption, mistake.severity, mistake.index)
        for mistake in result.mistakes
    }
    return result, images


def _evaluate_cells(
    evaluated: EvaluatedModel,
    corrupted: CorruptedSet,
    keys: Sequence[CellKey],
    folder: Path | None,
    fabric: Fabric | None,
    watch: Callable[[int, int], None],
) -> Floats:
    """Returns predicted class, confidence, NLL and Brier score of each image: float32 [cells, n, 4]."""
    rank, world_size = (fabric.global_rank, fabric.world_size) if fabric else (0, 1)
    table = torch.zeros(len(keys), len(corrupted.labels), 4)
    own = range(rank, len(keys), world_size)
    for done, index in enumerate(own):
        watch(done, len(own))
        table[index] = torch.from_numpy(_evaluate_cell(evaluated, corrupted, keys[index], folder))
    watch(len(own), len(own))
    if fabric is None or world_size == 1:
        return table.numpy()
    # each cell is zero in all processes but one, so the sum is bit-identical to that one's values
    return all_reduced(fabric, table, "sum").cpu().numpy()


def _evaluate_cell(evaluated: EvaluatedModel, corrupted: CorruptedSet, key: CellKey, folder: Path | None) -> Floats:
    """Returns the same for one cell, float32 [n, 4]; reads it from `folder` if an earlier call has written it there."""
    file = folder / f"{key[0]}-{key[1]}.npy" if folder else None
    if file and file.is_file():
        return np.asarray(np.load(file, allow_pickle=False), np.float32)
    batches, first = [], 0
    for images in corrupted.batches(*key, BATCH_SIZE):
        labels = corrupted.labels[first : first + len(images)]
        metrics = compute_metrics(evaluated.logits(images), labels)
        batches.append(np.stack([metrics.predicted, metrics.confidence, metrics.nll, metrics.brier], axis=1))
        first += len(images)
    rows = np.concatenate(batches).astype(np.float32)
    if file:
        with atomic_file(file) as temporary:
            np.save(temporary, rows)
    return rows


def resume_key_of(evaluated: EvaluatedModel, corrupted: CorruptedSet | None, dataset: Dataset) -> str:
    """Returns a digest of the model and its images, so that finished cells of others are not taken for theirs."""
    test = dataset.test
    facts: list[object] = [str(evaluated.path), evaluated.backend, dataset.name, len(test)]
    first_images = test.take(torch.arange(min(FINGERPRINT_IMAGES, len(test)))).loaded().images.numpy()
    predicted = evaluated.logits(first_images).argmax(1)
    arrays = [test.labels.numpy(), predicted]
    if isinstance(test, Split):  # to hash the pixels of streamed ones, all would have to be decoded
        arrays.insert(0, test.images.numpy())
    else:
        facts.append(test.digest())
    if corrupted:
        facts += [corrupted.source, corrupted.corruptions, len(corrupted.labels), files_digest(corrupted.source)]
        first_batch = next(corrupted.batches(corrupted.corruptions[0], SEVERITIES[-1], FINGERPRINT_IMAGES))
        arrays += [first_batch, corrupted.labels]
    digest = hashlib.sha256(json.dumps(facts).encode())
    for array in arrays:
        digest.update(np.ascontiguousarray(array).data)
    digest.update(evaluated.fingerprint.encode())
    return digest.hexdigest()[:16]


def _metrics_from_rows(rows: Floats, labels: Labels) -> Metrics:
    predicted = rows[:, 0].astype(np.int64)
    return Metrics(predicted, predicted == labels, rows[:, 1], rows[:, 2], rows[:, 3])


def _cells(keys: Sequence[CellKey], metrics: Sequence[Metrics]) -> tuple[Cell, ...]:
    lows, highs = bootstrap_intervals(np.stack([~each.correct for each in metrics]), np.eye(len(keys)))
    return tuple(
        Cell(
            corruption=name,
            severity=severity,
            error=float(1 - each.correct.mean()),
            low=float(low),
            high=float(high),
            calibration_error=calibration_error(reliability_bins(each.confidence, each.correct)),
            brier=float(each.brier.mean()),
            nll=float(each.nll.mean()),
            confidence=float(each.confidence.mean()),
        )
        for (name, severity), each, low, high in zip(keys, metrics, lows, highs, strict=True)
    )


def _group_mean(group: Sequence[str], keys: Sequence[CellKey], metrics: Sequence[Metrics]) -> GroupMean | None:
    """Returns the mean over the cells of a group of corruptions; None if the set has none of them."""
    selected = [each for (name, _), each in zip(keys, metrics, strict=True) if name in group]
    if not selected:
        return None
    present = tuple(dict.fromkeys(name for name, _ in keys if name in group))
    incorrect = np.stack([~each.correct for each in selected])
    lows, highs = bootstrap_intervals(incorrect, np.full((1, len(selected)), 1 / len(selected)))
    errors = [calibration_error(reliability_bins(each.confidence, each.correct)) for each in selected]
    return GroupMean(
        corruptions=present,
        missing=tuple(name for name in group if name not in present),
        error=float(incorrect.mean()),
        low=float(lows[0]),
        high=float(highs[0]),
        calibration_error=float(np.mean(errors)),
        brier=float(np.mean([each.brier.mean() for each in selected])),
        nll=float(np.mean([each.nll.mean() for each in selected])),
    )


def _worst_mistakes(
    keys: Sequence[CellKey], metrics: Sequence[Metrics], labels: Labels, classes: Sequence[str]
) -> tuple[Mistake, ...]:
    """Returns for each corruption the incorrect prediction with the highest confidence, if there is one."""
    worst: dict[str, Mistake] = {}
    for (name, severity), each in zip(keys, metrics, strict=True):
        confidence = np.where(each.correct, -1.0, each.confidence)
        index = int(confidence.argmax())
        if confidence[index] > (worst[name].confidence if name in worst else 0):
            label, predicted = classes[labels[index]], classes[each.predicted[index]]
            worst[name] = Mistake(name, severity, index, label, predicted, float(confidence[index]))
    return tuple(worst.values())


def _notes(
    dataset: Dataset, corrupted: CorruptedSet, common: GroupMean | None, baseline: Baseline | None
) -> tuple[str, ...]:
    notes = list(dataset.notes)
    if isinstance(corrupted, GeneratedSet):
        notes.append("the corrupted images were generated; they resemble the published ones, but are not the same")
    if isinstance(corrupted, PartOfSet):
        notes.append(
            f"a part of the corrupted set: {len(corrupted.corruptions)} of {len(corrupted.whole.corruptions)} "
            f"corruptions, {len(corrupted.labels)} of {len(corrupted.whole.labels)} images in each cell"
        )
    if corrupted.data not in ("", dataset.name):
        notes.append(
            f"the corrupted set was made from {printable(corrupted.data)} and the clean error is that of "
            f"{dataset.name}; compare them only if both have the same images"
        )
    if len(corrupted.labels) != len(dataset.test):
        notes.append(
            f"each cell has {len(corrupted.labels)} images; the clean error is that of all {len(dataset.test)} test "
            "images"
        )
    elif not np.array_equal(corrupted.labels, dataset.test.labels.numpy()):
        notes.append(
            "the corrupted images have other labels, or another order, than the clean ones; compare their errors only "
            "if both are of the same images"
        )
    if common is None or common.missing:
        missing = COMMON if common is None else common.missing
        notes.append(f"no mean corruption error: the set lacks {', '.join(missing)} of the 15 common corruptions")
    if baseline is None:
        notes.append("mean errors are plain means: without a baseline there is no mean corruption error (mCE)")
    return tuple(notes)
