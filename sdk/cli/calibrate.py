"""allweather calibrate."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from allweather.cli.console import guarded, progress, result, say, table
from allweather.cli.options import AsJson, CheckpointFile, Data, Download, OutCheckpoint, checkpoint_path


@guarded
def calibrate(
    checkpoint: CheckpointFile,
    data: Data,
    out: OutCheckpoint,
    points: Annotated[float, typer.Option(help="of accuracy, in percent, that each augmentation is to cost")] = 10.0,
    download: Download = False,
    as_json: AsJson = False,
) -> None:
    """Finds how strong each augmentation must be to cost a classifier ten points, for finetune to work with."""
    checkpoint_path(out)
    import torch

    from allweather.reports.augmented import label
    from allweather.trainers.augmentations.photometric import AUGMENTATIONS
    from allweather.trainers.augmentations.strengths import find_strengths as find
    from allweather.trainers.checkpoint.checkpoint import load_checkpoint, save_checkpoint
    from allweather.trainers.data.registry import open_dataset_of

    start = load_checkpoint(checkpoint)
    dataset = open_dataset_of(data, start.classes, start.input, download=download)
    for note in dataset.notes:
        say(note)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with progress("calibrate", None) as update:
        found = find(
            start.classifier().to(device),
            dataset.val.to(device),
            points / 100,
            watch=lambda name: update(0, f"calibrate {name}"),
        )
    for each in found.strengths:
        if not each.reached:
            cost = 100 * (found.clean_accuracy - each.accuracy)
            say(f"{label(each.name)} costs {cost:.1f} points at most: it stays at its limit")
    save_checkpoint(out, dataclasses.replace(start, strengths=found.parameters))
    if as_json:
        result({"checkpoint": str(out), **dataclasses.asdict(found)}, as_json, "calibrated")
        return
    rows = [("", "parameter", "here", "paper's VGG-16", "validation accuracy, %")]
    rows.append(("clean", "", "", "", f"{100 * found.clean_accuracy:.2f}"))
    for each in found.strengths:
        kind, accuracy = AUGMENTATIONS.get(each.name), f"{100 * each.accuracy:.2f}"
        parts = (kind.parameter, f"{each.parameter:.4g}", f"{kind.paper:g}") if kind else ("", "", "")
        rows.append((label(each.name), *parts, accuracy))
    table(rows)
