"""allweather export."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from allweather.cli.console import guarded, plain, progress, result, say
from allweather.cli.console import out as stdout
from allweather.cli.export_repository import Layout, export_layout, is_bundle
from allweather.cli.options import AsJson, Download, EngineChoice, PrecisionChoice
from allweather.runtimes.errors import DataError

if TYPE_CHECKING:
    from allweather.runtimes.bundle.manifest import Model, Rejected


@guarded
def export(
    checkpoint: Annotated[Path, typer.Argument(help="made by train or import (.safetensors); with --layout, a bundle")],
    out: Annotated[Path, typer.Option(help="bundle to write: a folder, or one file if it ends in .zip")],
    data: Annotated[str | None, typer.Option(help="what it was trained on: calibrates INT8, measures parity")] = None,
    engine: Annotated[
        list[EngineChoice] | None, typer.Option(help="may be given more than once; openvino and onnx if not given")
    ] = None,
    precision: Annotated[
        list[PrecisionChoice] | None,
        typer.Option(help="may be given more than once; if not given, all are tried, and fp32 and the fastest kept"),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="keep what fails the parity gate; the bundle says so")] = False,
    layout: Layout = None,
    download: Download = False,
    as_json: AsJson = False,
) -> None:
    """Compiles a checkpoint into a bundle that a device runs, and measures what that changed."""
    if layout or is_bundle(checkpoint):
        engines, precisions = (tuple(each.value for each in chosen or ()) for chosen in (engine, precision))
        idle = [name for name, given in (("--data", data), ("--download", download), ("--force", force)) if given]
        export_layout(checkpoint, layout, out, engines=engines, precisions=precisions, idle=idle, as_json=as_json)
        return
    from allweather.exporters.export import ENGINES, ExportOptions
    from allweather.exporters.export import export as export_bundle
    from allweather.trainers.checkpoint.checkpoint import load_checkpoint
    from allweather.trainers.data.registry import FORMS, open_dataset

    trained = load_checkpoint(checkpoint)
    if data is None and trained.data != "signs":
        raise DataError(
            f"export calibrates and measures on the data that {checkpoint} was trained on: add --data {FORMS}"
        )
    dataset = open_dataset(data or "signs", trained.input.height, download=download)
    with progress("export", None) as update:

        def watch(step: str) -> None:
            update(0, f"export: {step}")

        choice = ExportOptions(
            engines=[one.value for one in engine] if engine else ENGINES,
            precisions=[one.value for one in precision] if precision else None,
            force=force,
        )
        manifest = export_bundle(trained, dataset, out, choice, watch)
    for note in dataset.notes:
        say(note)
    rows = [_row(model, model.forced and f"forced: {model.forced}") for model in manifest.models]
    rejected = [_row(model, model.reason) for model in manifest.rejected]
    result(
        {"bundle": str(out), "machine": manifest.machine, "models": plain(rows), "rejected": plain(rejected)},
        as_json,
        "exported",
    )
    if not as_json:
        stdout.print(parity_table(rows, "in the bundle"))
        if rejected:
            stdout.print(parity_table(rejected, "left out"))
        if any(row["engine"] == "tensorrt" for row in rows):
            say(
                "tensorrt: ONNX Runtime answered in its stead, node by node, and no time was measured; "
                f"on the device run: allweather build {out}"
            )
        for row in (*rows, *rejected):
            if row["note"]:
                stdout.print(f"{row['role']} {row['engine']} {row['precision']}: {row['note']}", highlight=False)


def _row(model: Model | Rejected, note: str) -> dict[str, float | str | None]:
    return {
        "role": model.role,
        "engine": model.engine,
        "precision": model.precision,
        "ms": 1000 * model.seconds[0] if model.seconds else None,
        **model.parity.model_dump(),
        "note": note,
    }


def parity_table(rows: list[dict[str, float | str | None]], what: str) -> object:
    """One row a model: what the export changed."""
    from rich.table import Table

    table = Table(title=f"{what}: measured on {rows[0]['images']} validation pictures", title_justify="left")
    table.add_column("", no_wrap=True)
    for head in ("clean", "corrupted", "as torch", "off by", "ms"):
        table.add_column(head, justify="right", no_wrap=True)
    truth = next((row for row in rows if row["role"] == "classifier"), None)
    if truth:
        shares = (_share(truth[f"reference_{key}"]) for key in ("accuracy", "corrupted_accuracy"))
        table.add_row("classifier torch", *shares)
    for row in rows:
        table.add_row(
            f"{row['role']} {row['engine']} {row['precision']}",
            *(_share(row[key]) for key in ("accuracy", "corrupted_accuracy", "agreement")),
            f"{row['largest_logit_difference']:.2g}",
            "" if row["ms"] is None else f"{row['ms']:.2f}",
        )
    return table


def _share(value: float | str | None) -> str:
    return "" if value is None else f"{value:.4f}"
