"""allweather export."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from allweather.cli.checks import check_not_given, parse_names
from allweather.cli.console import err, handle_errors, print_result, progress_bar, say, to_json
from allweather.cli.console import out as stdout
from allweather.cli.export_repository import Layout, export_repository, is_bundle
from allweather.cli.inspect import say_inventory
from allweather.cli.options import AsJson, Download
from allweather.cli.output_lock import locks_output
from allweather.runtimes.choices import EngineName, Precision
from allweather.runtimes.errors import DataError

if TYPE_CHECKING:
    from allweather.runtimes.bundle.manifest import Model, Rejected


@handle_errors
@locks_output
def export(
    context: typer.Context,
    checkpoint: Annotated[
        Path, typer.Argument(help="Checkpoint of a classifier (.safetensors); with --layout, a bundle.")
    ],
    out: Annotated[
        Path, typer.Option(help="Bundle to write: a folder, or one file if it ends in .zip; with --layout, a folder.")
    ],
    data: Annotated[
        str | None,
        typer.Option(help="Data set that the classifier was trained on, for INT8 calibration and the parity gate."),
    ] = None,
    engine: Annotated[
        list[str] | None,
        typer.Option(
            help="Engine to export for: openvino, onnx, tensorrt; may be repeated. openvino and onnx if not given."
        ),
    ] = None,
    precision: Annotated[
        list[str] | None,
        typer.Option(
            help="Precision to export in: fp32, bf16, fp16 or int8; may be repeated. If not given, all are tried, and "
            "fp32 and the fastest of each engine are kept."
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Keep models that fail the parity gate, too; the bundle marks them.")
    ] = False,
    layout: Layout = None,
    download: Download = False,
    as_json: AsJson = False,
) -> None:
    """Compiles a checkpoint into a bundle for devices, and checks its predictions."""
    engines, precisions = _parse_engines(engine), parse_names("precision", precision, get_args(Precision))
    if layout or is_bundle(checkpoint):
        check_not_given(context, ("data", "download", "force"), "--layout writes the models that are in the bundle")
        export_repository(checkpoint, layout, out, engines=engines, precisions=precisions, as_json=as_json)
        return
    from allweather.exporters.export import DEFAULT_ENGINES, ExportOptions, export_checkpoint
    from allweather.trainers.checkpoint.checkpoint_file import load_checkpoint
    from allweather.trainers.choices import DATASET_FORMS
    from allweather.trainers.data.registry import open_dataset_of

    trained = load_checkpoint(checkpoint)
    if data is None and trained.data != "signs":
        raise DataError(
            f"export needs the data that {checkpoint} was trained on, for INT8 calibration and the parity gate: "
            f"add --data {DATASET_FORMS}"
        )
    options = ExportOptions(engines=engines or DEFAULT_ENGINES, precisions=precisions or None, force=force)
    dataset = open_dataset_of(data or "signs", trained.classes, trained.input, download=download)
    say_inventory(dataset.inventory)
    with progress_bar("export") as update:

        def watch(step: str) -> None:
            update(0, f"export: {step}")
            if not err.is_terminal:  # where no progress bar is shown, and the steps take minutes
                say(f"export: {step}")

        manifest = export_checkpoint(trained, dataset, out, options, watch=watch)
    for note in dataset.notes:
        say(note)
    rows = [_row(model, model.forced and f"forced: {model.forced}") for model in manifest.models]
    rejected = [_row(model, model.reason) for model in manifest.rejected]
    values = {"bundle": str(out), "machine": manifest.machine, "models": to_json(rows), "rejected": to_json(rejected)}
    print_result({**values, "inventory": dataset.inventory}, as_json, "exported")
    if not as_json:
        _print_models(rows, rejected, out)


def _parse_engines(names: list[str] | None) -> list[EngineName]:
    from allweather.runtimes.engines.registry import exportable

    return parse_names("engine that models are exported for", names, exportable())


def _print_models(
    rows: list[dict[str, float | str | None]], rejected: list[dict[str, float | str | None]], bundle: Path
) -> None:
    stdout.print(parity_table(rows, "in the bundle"))
    if rejected:
        stdout.print(parity_table(rejected, "rejected"))
    if any(row["engine"] == "tensorrt" for row in rows):
        say(
            "tensorrt: ONNX Runtime ran these models in its place, node by node, so no time was measured; on the "
            f"device run: allweather build {bundle}"
        )
    for row in (*rows, *rejected):
        if row["note"]:
            stdout.print(f"{row['role']} {row['engine']} {row['precision']}: {row['note']}")


def _row(model: Model | Rejected, note: str) -> dict[str, float | str | None]:
    return {
        "role": model.role,
        "engine": model.engine,
        "precision": model.precision,
        "ms": 1000 * model.seconds[0] if model.seconds else None,
        **model.parity.model_dump(),
        "note": note,
    }


def parity_table(rows: list[dict[str, float | str | None]], title: str) -> object:
    """Returns a table with a row for each model, which compares it with the torch model that it was made from."""
    from rich.table import Table

    table = Table(title=f"{title}: evaluated on {rows[0]['images']} validation images", title_justify="left")
    table.add_column("", no_wrap=True)
    for header in ("clean", "corrupted", "as torch", "off by", "ms"):
        table.add_column(header, justify="right", no_wrap=True)
    classifier = next((row for row in rows if row["role"] == "classifier"), None)
    if classifier:
        shares = (_share(classifier[f"reference_{key}"]) for key in ("accuracy", "corrupted_accuracy"))
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
