"""allweather show-augmentation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from allweather.cli.checks import check_report_folder
from allweather.cli.command_line import origin_of
from allweather.cli.console import handle_errors, print_result
from allweather.cli.options import AsJson, Data, Download, Size


@handle_errors
def show_augmentation(
    context: typer.Context,
    augmentation: Annotated[Path, typer.Argument(help="Learned augmentation (.safetensors).")],
    data: Data,
    out: Annotated[Path, typer.Option(help="Folder to write report.html, result.json and the plots into.")],
    size: Size = None,
    download: Download = False,
    as_json: AsJson = False,
) -> None:
    """Writes a page that shows what a learned augmentation does to images."""
    check_report_folder(out)
    from allweather.reports.learned_augmentation import write_augmentation_report
    from allweather.trainers.augmentations.learned.augmentation import load_augmentation
    from allweather.trainers.data.files.outputs import check_output_is_no_class
    from allweather.trainers.data.image_size import parse_size
    from allweather.trainers.data.registry import open_dataset

    check_output_is_no_class(out, data)
    parsed_size = None if size is None else parse_size(size)
    learned = load_augmentation(augmentation)
    images = open_dataset(data, parsed_size, download=download)
    write_augmentation_report(learned, images, out, origin_of(context))
    facts = {"augmentation": str(augmentation), "mode": learned.mode, "learned_on": learned.data}
    print_result({**facts, "report": str(out / "report.html")}, as_json, "shown")
