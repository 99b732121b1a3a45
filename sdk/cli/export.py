"""allweather export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, get_args

import typer

from allweather.cli.checks import check_not_given, parse_names
from allweather.cli.console import handle_errors, say
from allweather.cli.export_repository import Layout, export_repository, is_bundle
from allweather.cli.export_results import print_exported, watch_export
from allweather.cli.inspect import say_inventory
from allweather.cli.options import AsJson, Download, OwnModel, Stream, Workers
from allweather.cli.output_lock import locks_output
from allweather.runtimes.choices import EngineName, Precision
from allweather.runtimes.errors import DataError


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
    large: Annotated[
        Path | None,
        typer.Option(
            help="Checkpoint of a second, larger classifier for the same bundle, which policies such as "
            "center+large@0.9 run where the first one is not confident (a cascade)."
        ),
    ] = None,
    layout: Layout = None,
    own_model: OwnModel = None,
    stream: Stream = None,
    workers: Workers = None,
    download: Download = False,
    as_json: AsJson = False,
) -> None:
    """Compiles a checkpoint into a bundle for devices, and checks its predictions."""
    engines, precisions = parse_engines(engine), parse_names("precision", precision, get_args(Precision))
    if layout or is_bundle(checkpoint):
        check_not_given(
            context,
            ("data", "stream", "workers", "download", "force", "own_model", "large"),
            "--layout writes the models that are in the bundle",
        )
        export_repository(checkpoint, layout, out, engines=engines, precisions=precisions, as_json=as_json)
        return
    from allweather.exporters.checkpoint_export import DEFAULT_ENGINES, ExportOptions
    from allweather.exporters.checkpoint_export import export as export_checkpoint
    from allweather.exporters.checkpoint_jobs import second_classifier
    from allweather.trainers.checkpoint.checkpoint_file import load_checkpoint
    from allweather.trainers.choices import DATASET_FORMS
    from allweather.trainers.data.registry import open_dataset_of
    from allweather.trainers.data.streamed.reading import Reading

    trained = load_checkpoint(checkpoint, own_model)
    if data is None and trained.data != "signs":
        raise DataError(
            f"export needs the data that {checkpoint} was trained on, for INT8 calibration and the parity gate: "
            f"add --data {DATASET_FORMS}"
        )
    second = None if large is None else second_classifier(trained, large)  # before the data are read
    options = ExportOptions(engines=engines or DEFAULT_ENGINES, precisions=precisions or None, force=force)
    reading = Reading(stream, workers)
    dataset = open_dataset_of(data or "signs", trained.classes, trained.input, reading=reading, download=download)
    say_inventory(dataset.inventory)
    with watch_export() as watch:
        manifest = export_checkpoint(trained, dataset, out, options, watch=watch, large=second)
    for note in dataset.notes:
        say(note)
    print_exported(manifest, out, dataset.inventory, as_json=as_json)


def parse_engines(names: list[str] | None) -> list[EngineName]:
    """Returns the engines to export for that are named; an empty list without any."""
    from allweather.runtimes.engines.registry import exportable

    return parse_names("engine that models are exported for", names, exportable())
