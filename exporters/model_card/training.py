"""Sections of a model card that tell of the training: data, settings, accuracies, and the loss predictor."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from allweather.runtimes.markdown import markdown, markdown_table
from allweather.runtimes.text import shortened
from allweather.trainers.augmentations.photometric import COMBINATIONS, TABLE_ROWS
from allweather.trainers.checkpoint.checkpoint import Checkpoint
from allweather.trainers.checkpoint.predictor_file import TrainedPredictor

MAX_NOTES, MAX_NOTE, MAX_VALUE = 20, 300, 120  # lines, and characters of a note and of a setting
NOT_SHOWN = {"inventory", "notes", "start", "fit", "data"}  # settings that are told elsewhere, or are digests
OF_NAMES = {"val_accuracy": "clean images", "average_accuracy": "mean of the rows, clean images included"}


def training_data(checkpoint: Checkpoint) -> list[str]:
    """Returns what the classifier was trained on."""
    if checkpoint.data == "imported":
        return ["Not known: the weights were trained by another program, which does not tell."]
    return [f"Data set: {markdown(checkpoint.data)}", *_inventory(checkpoint.settings)]


def training(checkpoint: Checkpoint) -> list[str]:
    """Returns how the classifier was trained: its settings, strengths of augmentations, and versions of libraries."""
    epochs = len(checkpoint.history)
    lines = [f"Epochs: {epochs}. Random seed: {checkpoint.seed}.", ""] if epochs else []
    rows = [(key, _value(value)) for key, value in sorted(checkpoint.settings.items()) if _is_shown(key, value)]
    lines += [*markdown_table([("setting", "value"), *rows]), ""] if rows else ["The settings are not known.", ""]
    if checkpoint.strengths:
        strengths = [(name, f"{strength:.4g}") for name, strength in sorted(checkpoint.strengths.items())]
        lines += [*markdown_table([("photometric augmentation", "strength"), *strengths]), ""]
    versions = ", ".join(f"{name} {version}" for name, version in sorted(checkpoint.versions.items()))
    return [*lines, f"Trained with: {markdown(versions)}" if versions else "The versions of libraries are not known."]


def validation(checkpoint: Checkpoint) -> list[str]:
    """Returns the metrics of the training, on its validation images."""
    metrics = checkpoint.metrics
    names = [name for name in ("val_accuracy", *TABLE_ROWS, "average_accuracy") if name in metrics]
    if not names:
        return ["None was measured in the training; the compiled models have their accuracy below."]
    rows = [(OF_NAMES.get(name, _augmented(name)), f"{100 * metrics[name]:.2f}") for name in names]
    robust = (
        "The augmented images are those of table 3 of the FMA paper (Kapoor et al.), of the strengths stated above."
        if len(names) > 1
        else "The training measured no accuracy on augmented or corrupted images."
    )
    return [*markdown_table([("validation images", "accuracy, %"), *rows]), "", robust]


def loss_predictor(predictor: TrainedPredictor) -> list[str]:
    """Returns how good a loss predictor is, and what it was trained on."""
    metrics, spec = predictor.metrics, predictor.input
    data = predictor.settings.get("data")
    lines = [
        f"A network ({markdown(predictor.kind)}, input {spec.width} x {spec.height} px) that predicts for each image "
        f"the classifier's loss on {len(predictor.views)} views: {markdown(', '.join(predictor.views))}.",
        "",
        f"Data set: {markdown(shortened(str(data), MAX_VALUE))}" if data else "Its training data is not known.",
        "",
    ]
    rows = []
    if "rank_correlation" in metrics:
        interval = _interval(metrics, "rank_correlation", 1, "")
        rows.append(("rank correlation of predicted and true losses", interval))
    if "gain" in metrics:
        rows.append(("accuracy gained by the view that it prefers", _interval(metrics, "gain", 100, " points")))
    if "identity_accuracy" in metrics:
        rows.append(("accuracy of one view", f"{100 * metrics['identity_accuracy']:.2f} %"))
    if "val_images" in metrics:
        rows.append(("images that it was not trained on", f"{metrics['val_images']:.0f}"))
    if not rows:
        return [*lines, "How good it is was not measured."]
    note = "Measured on corrupted copies of the images; the corruptions are generated. Intervals are of 95 %."
    return [*lines, *markdown_table([("metric", "value"), *rows]), "", note]


def _interval(metrics: Mapping[str, float], name: str, factor: float, unit: str) -> str:
    text = f"{factor * metrics[name]:.2f}{unit}"
    if f"{name}_low" in metrics and f"{name}_high" in metrics:
        text += f" ({factor * metrics[f'{name}_low']:.2f} to {factor * metrics[f'{name}_high']:.2f})"
    return text


def _augmented(name: str) -> str:
    return f"{name} ({', '.join(COMBINATIONS[name])})" if name in COMBINATIONS else name


def _inventory(settings: Mapping[str, Any]) -> list[str]:
    """Returns what the data held when it was opened. The settings are of a file, and may be anything."""
    inventory = settings.get("inventory")
    found = inventory if isinstance(inventory, Mapping) else {}
    rows = list(_split_rows(found.get("splits")))
    lines = ["", *markdown_table([("split", "images", "classes", "fewest of a class", "most"), *rows])] if rows else []
    notes = dict.fromkeys(str(note) for source in (found, settings) for note in _items(source.get("notes")))
    lines += ["", *(f"- Note: {markdown(shortened(note, MAX_NOTE))}" for note in list(notes)[:MAX_NOTES])]
    if len(notes) > MAX_NOTES:
        lines.append(f"- Note: there are {len(notes) - MAX_NOTES} more notes.")
    return lines if rows or notes else ["", "What the data held is not recorded."]


def _split_rows(splits: object) -> Iterator[tuple[str, ...]]:
    for split in _items(splits):
        images = split.get("images") if isinstance(split, Mapping) else None
        counts = [each for each in images.values() if isinstance(each, int)] if isinstance(images, Mapping) else []
        if counts:
            present = [each for each in counts if each]
            figures = (sum(counts), len(present), min(counts), max(counts))
            yield (shortened(str(split.get("split")), MAX_VALUE), *map(str, figures))


def _items(value: object) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else ()


def _is_shown(key: str, value: object) -> bool:
    return key not in NOT_SHOWN and value is not None and value not in ([], {}, "")


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    return shortened(value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str), MAX_VALUE)
