"""allweather augment."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from allweather.cli.console import guarded, result
from allweather.cli.options import AsJson, Data, Download, report_folder


@guarded
def augment(
    augmentation: Annotated[Path, typer.Argument(help="a learned augmentation (.safetensors)")],
    data: Data,
    out: Annotated[Path, typer.Option(help="folder for report.html, result.json and pictures")],
    size: Annotated[int | None, typer.Option(help="side of the pictures in pixels; the data's own")] = None,
    download: Download = False,
    as_json: AsJson = False,
) -> None:
    """Shows what a learned augmentation does: several draws for a picture, and the way from one draw to another."""
    report_folder(out)
    from allweather.reports.learned_augmentation import write_augmentation
    from allweather.trainers.augmentations.learned.augmentation import load_augmentation
    from allweather.trainers.data.registry import open_dataset

    made = load_augmentation(augmentation)
    write_augmentation(made, open_dataset(data, size, download=download), out)
    facts = {"augmentation": str(augmentation), "mode": made.mode, "learned on": made.data}
    result({**facts, "report": str(out / "report.html")}, as_json, "shown")
