"""Measures a classifier on a corrupted set: cell by cell, on as many processes as there are, resumable."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric

from allweather.evaluation.baselines import Baseline
from allweather.evaluation.metrics import (
    Metrics,
    calibration_error,
    compute_metrics,
    intervals,
    mean_corruption_error,
    reliability_bins,
)
from allweather.evaluation.model import EvaluatedModel
from allweather.evaluation.provenance import Provenance
from allweather.evaluation.robustness import Cell, Mean, Mistake, Robustness
from allweather.runtimes.system.atomic_files import atomic_file
from allweather.runtimes.types import Floats, Image
from allweather.trainers.corruptions import COMMON, EXTRA
from allweather.trainers.corruptions.corruption import SEVERITIES
from allweather.trainers.corruptions.sets import CorruptedSet, GeneratedSet, Labels
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.training.inference import all_reduced

BATCH = 500  # pictures that are made or read, and answered, at a time
Key = tuple[str, int]  # corruption, severity


def evaluate_corrupted(
    target: EvaluatedModel,
    dataset: Dataset,
    corrupted: CorruptedSet,
    *,
    baseline: Baseline | None = None,
    fabric: Fabric | None = None,
    keep: Path | None = None,
    watch: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[Robustness, dict[str, Image]]:
    """Measures an open target on its clean test pictures and on a corrupted set.

    The processes of `fabric` share the cells; each makes or reads the pictures of its own, batch by batch.

    Args:
        target: see `open_model`.
        dataset: its test split is the clean side.
        corrupted: of the same classes.
        baseline: for the mean corruption error.
        fabric: launched; one process where None.
        keep: folder for finished cells, which a later call with the same arguments goes on from; it is removed by
            whoever keeps the result.
        watch: told of (cells done, cells in all) by this process.

    Returns:
        (the measures, uint8 [h, w, 3] of each mistake by corruption).

    Raises:
        UsageError: the baseline has no error for one of the 15 common corruptions of the set.
        OutputError: `keep` cannot be written.
    """
    began = time.perf_counter()
    wanted = {name: 1.0 for name in corrupted.corruptions if name in COMMON}
    if baseline is not None and wanted:  # missing ones are to be heard of before hours are spent
        mean_corruption_error(wanted, baseline.errors)
    clean = compute_metrics(target.logits(dataset.test.images.numpy()), dataset.test.labels.numpy())
    keys = list(product(corrupted.corruptions, SEVERITIES))
    place = keep / resume_key_of(target, corrupted, dataset) if keep else None
    table = _answers(target, corrupted, keys, place, fabric, watch)
    scores = [_scores(rows, corrupted.labels) for rows in table]
    cells = _cells([("clean", 0)], [clean]) + _cells(keys, scores)
    common, extra = (_mean(group, keys, scores) for group in (COMMON, EXTRA))
    result = Robustness(
        provenance=Provenance.of(
            target,
            dataset,
            images=len(corrupted.labels),
            notes=_notes(dataset, corrupted, common, baseline),
        ),
        corrupted=corrupted.source,
        classes=target.classes,
        clean=cells[0],
        cells=cells[1:],
        common=common,
        extra=extra,
        mce=None,
        baseline=baseline.name if baseline else None,
        reliability=reliability_bins(
            np.concatenate([each.confidence for each in scores]), np.concatenate([each.right for each in scores])
        ),
        mistakes=_mistakes(keys, scores, corrupted.labels, target.classes),
        seconds=time.perf_counter() - began,
    )
    if baseline and common and not common.missing:
        errors = result.errors()
        result = replace(result, mce=mean_corruption_error({name: errors[name] for name in COMMON}, baseline.errors))
    pictures = {
        mistake.corruption: corrupted.image(mistake.corruption, mistake.severity, mistake.number)
        for mistake in result.mistakes
    }
    return result, pictures


# -- the long part -------------------------------------------------------------------------------------------------


def _answers(
    target: EvaluatedModel,
    corrupted: CorruptedSet,
    keys: Sequence[Key],
    place: Path | None,
    fabric: Fabric | None,
    watch: Callable[[int, int], None],
) -> Floats:
    """Answered class, confidence, likelihood loss and Brier score of each answer: float32 [cells, n, 4]."""
    rank, world = (fabric.global_rank, fabric.world_size) if fabric else (0, 1)
    table = torch.zeros(len(keys), len(corrupted.labels), 4)
    mine = range(rank, len(keys), world)
    for done, number in enumerate(mine):
        watch(done, len(mine))
        table[number] = torch.from_numpy(_cell_answers(target, corrupted, keys[number], place))
    watch(len(mine), len(mine))
    if fabric is None or world == 1:
        return table.numpy()
    # each cell is zero in all processes but one, so the sum is that one's to the bit
    return all_reduced(fabric, table, "sum").cpu().numpy()


def _cell_answers(target: EvaluatedModel, corrupted: CorruptedSet, key: Key, place: Path | None) -> Floats:
    """The same of one cell, float32 [n, 4]; from `place` if an earlier call left it there."""
    file = place / f"{key[0]}-{key[1]}.npy" if place else None
    if file and file.is_file():
        return np.asarray(np.load(file, allow_pickle=False), np.float32)
    parts, first = [], 0
    for images in corrupted.batches(*key, BATCH):
        labels = corrupted.labels[first : first + len(images)]
        each = compute_metrics(target.logits(images), labels)
        parts.append(np.stack([each.answered, each.confidence, each.nll, each.brier], axis=1))
        first += len(images)
    rows = np.concatenate(parts).astype(np.float32)
    if file:
        with atomic_file(file) as beside:
            np.save(beside, rows)
    return rows


def resume_key_of(target: EvaluatedModel, corrupted: CorruptedSet | None, dataset: Dataset) -> str:
    """Of a target and its pictures, so that finished cells of others are not taken for theirs."""
    images = dataset.test.images.numpy()
    facts: list[object] = [str(target.path), target.backend, dataset.name, len(dataset.test)]
    arrays = [images, dataset.test.labels.numpy(), target.logits(images[:16]).argmax(1)]
    if corrupted:
        facts += [corrupted.source, corrupted.corruptions, len(corrupted.labels), _version(corrupted.source)]
        arrays += [next(corrupted.batches(corrupted.corruptions[0], SEVERITIES[-1], 16)), corrupted.labels]
    digest = hashlib.sha256(json.dumps(facts).encode())
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    digest.update(target.fingerprint.encode())
    return digest.hexdigest()[:16]


def _version(source: str) -> str:
    """Digest of names, sizes and times of the files of a set on disk; nothing of one that is generated."""
    digest = hashlib.sha256()
    for folder, _, names in sorted(os.walk(source)):
        for name in sorted(names):
            about = (Path(folder) / name).stat()
            digest.update(f"{folder}/{name} {about.st_size} {about.st_mtime_ns};".encode())
    return digest.hexdigest()[:16]


def _scores(rows: Floats, labels: Labels) -> Metrics:
    answered = rows[:, 0].astype(np.int64)
    return Metrics(answered, answered == labels, rows[:, 1], rows[:, 2], rows[:, 3])


# -- what it comes to ----------------------------------------------------------------------------------------------


def _cells(keys: Sequence[Key], scores: Sequence[Metrics]) -> tuple[Cell, ...]:
    lows, highs = intervals(np.stack([~each.right for each in scores]), np.eye(len(keys)))
    return tuple(
        Cell(
            corruption=name,
            severity=severity,
            error=float(1 - each.right.mean()),
            low=float(low),
            high=float(high),
            calibration_error=calibration_error(reliability_bins(each.confidence, each.right)),
            brier=float(each.brier.mean()),
            nll=float(each.nll.mean()),
            confidence=float(each.confidence.mean()),
        )
        for (name, severity), each, low, high in zip(keys, scores, lows, highs, strict=True)
    )


def _mean(group: Sequence[str], keys: Sequence[Key], scores: Sequence[Metrics]) -> Mean | None:
    inside = [each for (name, _), each in zip(keys, scores, strict=True) if name in group]
    if not inside:
        return None
    there = tuple(dict.fromkeys(name for name, _ in keys if name in group))
    wrong = np.stack([~each.right for each in inside])
    lows, highs = intervals(wrong, np.full((1, len(inside)), 1 / len(inside)))
    errors = [calibration_error(reliability_bins(each.confidence, each.right)) for each in inside]
    return Mean(
        corruptions=there,
        missing=tuple(name for name in group if name not in there),
        error=float(wrong.mean()),
        low=float(lows[0]),
        high=float(highs[0]),
        calibration_error=float(np.mean(errors)),
        brier=float(np.mean([each.brier.mean() for each in inside])),
        nll=float(np.mean([each.nll.mean() for each in inside])),
    )


def _mistakes(
    keys: Sequence[Key], scores: Sequence[Metrics], labels: Labels, classes: Sequence[str]
) -> tuple[Mistake, ...]:
    """The surest wrong answer to each corruption, if there is a wrong one."""
    worst: dict[str, Mistake] = {}
    for (name, severity), each in zip(keys, scores, strict=True):
        sure = np.where(each.right, -1.0, each.confidence)
        number = int(sure.argmax())
        if sure[number] > (worst[name].confidence if name in worst else 0):
            label, answered = classes[labels[number]], classes[each.answered[number]]
            worst[name] = Mistake(name, severity, number, label, answered, float(sure[number]))
    return tuple(worst.values())


def _notes(
    dataset: Dataset, corrupted: CorruptedSet, common: Mean | None, baseline: Baseline | None
) -> tuple[str, ...]:
    notes = list(dataset.notes)
    if isinstance(corrupted, GeneratedSet):
        notes.append("corrupted here: pictures like those of the published sets, not the published ones")
    if len(corrupted.labels) != len(dataset.test):
        notes.append(f"{len(corrupted.labels)} pictures a cell; clean error on all {len(dataset.test)} test pictures")
    if common is None or common.missing:
        missing = COMMON if common is None else common.missing
        notes.append(f"of the 15 common corruptions the set lacks {', '.join(missing)}: no mean corruption error")
    if baseline is None:
        notes.append("mean errors are plain means: no baseline was named for a mean corruption error (mCE)")
    return tuple(notes)
