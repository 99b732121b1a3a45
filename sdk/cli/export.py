"""allweather export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from allweather.cli.console import guarded, plain, progress, result, say
from allweather.cli.console import out as stdout
from allweather.cli.options import AsJson, Download, EngineChoice, PrecisionChoice
from allweather.cli.serving import Layout, export_layout, is_bundle
from allweather.runtimes.errors import DataError


@guarded
def export(
    checkpoint: Annotated[Path, typer.Argument(help="made by train or import (.safetensors); with --layout, a bundle")],
    out: Annotated[Path, typer.Option(help="bundle to write: a folder, or one file if it ends in .zip")],
    data: Annotated[str | None, typer.Option(help="what it was trained on: calibrates INT8, measures parity")] = None,
    engine: Annotated[list[EngineChoice] | None, typer.Option(help="may be given more than once; all")] = None,
    precision: Annotated[list[PrecisionChoice] | None, typer.Option(help="may be given more than once; all")] = None,
    layout: Layout = None,
    download: Download = False,
    as_json: AsJson = False,
) -> None:
    """Compiles a checkpoint into a bundle that a device runs, and measures what that changed."""
    if layout or is_bundle(checkpoint):
        engines, precisions = (tuple(each.value for each in chosen or ()) for chosen in (engine, precision))
        export_layout(checkpoint, layout, out, data=data, engines=engines, precisions=precisions, as_json=as_json)
        return
    from allweather.exporters.export import ENGINES, PRECISIONS
    from allweather.exporters.export import export as export_bundle
    from allweather.trainers import checkpoint as checkpoints
    from allweather.trainers.data import FORMS, open_dataset

    trained = checkpoints.load(checkpoint)
    if data is None and trained.data != "signs":
        raise DataError(
            f"export calibrates and measures on the data that {checkpoint} was trained on: add --data {FORMS}"
        )
    dataset = open_dataset(data or "signs", trained.input.height, download=download)
    with progress("export", None) as update:

        def watch(step: str) -> None:
            update(0, f"export: {step}")

        manifest = export_bundle(
            trained,
            dataset,
            out,
            engines=[choice.value for choice in engine] if engine else ENGINES,
            precisions=[choice.value for choice in precision] if precision else PRECISIONS,
            watch=watch,
        )
    for note in dataset.notes:
        say(note)
    models = [
        {
            "role": model.role,
            "engine": model.engine,
            "precision": model.precision,
            "ms": 1000 * model.seconds[0],
            **model.parity.model_dump(),
        }
        for model in manifest.models
    ]
    result({"bundle": str(out), "machine": manifest.machine, "models": plain(models)}, as_json, "exported")
    if not as_json:
        stdout.print(parity_table(models))


def parity_table(models: list[dict[str, float | str]]) -> object:
    """One row a model: what the export changed."""
    from rich.table import Table

    table = Table(title=f"beside torch, on {models[0]['images']} test pictures", title_justify="left")
    for head in ("model", "accuracy", "torch", "same answer", "largest difference", "ms a picture"):
        table.add_column(head, justify="left" if head == "model" else "right")
    for row in models:
        table.add_row(
            f"{row['role']}: {row['engine']} {row['precision']}",
            *("" if row[key] is None else f"{row[key]:.4f}" for key in ("accuracy", "reference_accuracy")),
            f"{row['agreement']:.4f}",
            f"{row['largest_logit_difference']:.2g}",
            f"{row['ms']:.2f}",
        )
    return table
