"""The augmentation strength search as a step of a run, which a resumed run does not repeat."""

from __future__ import annotations

import dataclasses
import json
import logging
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from allweather.runtimes.errors import AllweatherError
from allweather.runtimes.system.atomic_files import atomic_file
from allweather.runtimes.system.path_argument import as_path
from allweather.trainers.augmentations.strengths import find_strengths
from allweather.trainers.checkpoint.checkpoint import Checkpoint
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.models.classifier import weights_digest

if TYPE_CHECKING:
    from lightning_fabric import Fabric

log = logging.getLogger(__name__)

DEFAULT_POINTS = 10.0  # percentage points of accuracy that each augmentation costs (Kapoor et al., 3.3.2)


def with_strengths(
    start: Checkpoint,
    dataset: Dataset,
    points: float,
    *,
    keep: Path | str | None = None,
    fabric: Fabric,
    watch: Callable[[str], None] = lambda name: None,
) -> Checkpoint:
    """Returns the checkpoint with augmentation strengths; searches for them on `dataset.val` if it has none.

    Args:
        start: A trained classifier. If it has strengths, it is returned as it is.
        dataset: Data of its classes and size; the validation split is used.
        points: Percentage points of accuracy that each augmentation must cost.
        keep: JSON file in which the strengths are kept until the caller's result is stored, so that a resumed run does
            not search again; the caller removes it. None means that they are not kept.
        fabric: A launched Fabric; its first process searches, and all processes get the result.
        watch: Called in the first process with the name of each augmentation before its strength is searched.

    Raises:
        UsageError: `points` is not above 0 and below 100.
        TrainingError: The classifier cannot lose that much accuracy, or no augmentation costs that much.
        OutputError: `keep` cannot be written.
    """
    keep = None if keep is None else as_path(keep)
    if start.strengths:
        return start
    result: Mapping[str, float] | AllweatherError = {}
    if fabric.is_global_zero:
        try:
            result = _find_or_read(start, dataset, points, keep, fabric, watch)
        except AllweatherError as error:  # all processes raise it, so that none waits for the first one
            result = error
    result = fabric.broadcast(result)
    if isinstance(result, AllweatherError):
        raise result
    return dataclasses.replace(start, strengths=result)


def images_note(drop: float, count: int) -> str:
    """Says how uncertain a cost in accuracy is that is measured on few images; "" from about 550 for a tenth on.

    Args:
        drop: Accuracy that each augmentation must cost, above 0 and below 1.
        count: Number of validation images.
    """
    half = 1.96 * math.sqrt(drop * (1 - drop) / max(count, 1))
    if half <= drop / 4:
        return ""
    return (
        f"augmentation strengths are searched on {count} validation images: on others an augmentation may cost "
        f"{100 * max(0.0, drop - half):.2g} to {100 * (drop + half):.2g} points in place of {100 * drop:g} (at 95 %)"
    )


def _find_or_read(
    start: Checkpoint,
    dataset: Dataset,
    points: float,
    keep: Path | None,
    fabric: Fabric,
    watch: Callable[[str], None],
) -> dict[str, float]:
    model = start.classifier()
    resume_key = {
        "classifier": weights_digest(model),
        "data": [dataset.name, len(dataset.val), dataset.fingerprint()],
        "points": points,
    }
    kept = _read(keep, resume_key) if keep else None
    if kept is not None:
        return kept
    val = dataset.val.readable()
    found = find_strengths(model.to(fabric.device), val.to(fabric.device), points / 100, watch=watch)
    note = images_note(points / 100, len(val))
    if note:
        log.warning("%s", note)
    for strength in found.strengths:
        if strength.parameter is not None and not strength.reached:
            drop = 100 * (found.clean_accuracy - strength.accuracy)
            log.warning("%s costs at most %.1f points of accuracy; its strength is at the limit", strength.name, drop)
    if keep:
        with atomic_file(keep) as temporary:
            temporary.write_text(json.dumps({"resume_key": resume_key, "strengths": found.parameters}))
    return found.parameters


def _read(path: Path, resume_key: Mapping[str, Any]) -> dict[str, float] | None:
    """Returns the strengths of an earlier search with the same resume key; None if there is none."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept["resume_key"] != resume_key:
            return None
        return {str(name): float(strength) for name, strength in kept["strengths"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # missing or damaged: search again
        return None
