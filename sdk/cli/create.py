"""allweather create."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from allweather.cli.checks import check_report_folder, hidden_sibling
from allweather.cli.command_line import origin_of
from allweather.cli.console import handle_errors, print_result, print_table, say, to_json
from allweather.cli.options import ARCH_FORMS, DATA_HELP, AsJson, Download, OwnModel, Size
from allweather.cli.output_lock import locks_output
from allweather.cli.stage_table import stage_table
from allweather.cli.training import prepare_cpu
from allweather.runtimes.errors import UsageError
from allweather.runtimes.system.path_argument import real_path


@handle_errors
@locks_output
def create(
    context: typer.Context,
    out: Annotated[Path, typer.Argument(help="Bundle to write: a folder or a .zip file.")],
    data: Annotated[str | None, typer.Option(help=DATA_HELP)] = None,
    arch: Annotated[str | None, typer.Option(help=f"Architecture to train: {ARCH_FORMS}.")] = None,
    own_model: OwnModel = None,
    onnx: Annotated[
        Path | None,
        typer.Option(help="Somebody's classifier in place of training one: an ONNX file, or OpenVINO IR (.xml)."),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(help="YAML file with the settings of all stages; options of the command line replace its keys."),
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="Folder to write the report into; OUT.report beside the bundle if not given.")
    ] = None,
    size: Size = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Random seed; the same seed gives the same result. 0 if not given.")
    ] = None,
    download: Download = False,
    as_json: AsJson = False,
) -> None:
    """Makes a robust bundle in one command: trains, finetunes, tunes, exports and compares, with a report at the end.

    Each stage is kept in the hidden folder .OUT.create beside the bundle. If it is stopped, the same command goes on
    where it was; with other settings, it makes the stages anew that these change.
    """
    from allweather.create.config_file import read_config
    from allweather.runtimes.bundle.output_path import check_bundle_path

    options = {
        "data": data, "size": size, "seed": seed, "train.arch": arch, "train.model": own_model,
        "onnx.file": None if onnx is None else str(onnx),
    }  # fmt: skip
    check_bundle_path(out)
    settings = read_config(config, {key: value for key, value in options.items() if value is not None})
    folder = report or out.with_name(f"{out.name}.report")
    if real_path(folder).is_relative_to(real_path(out)):
        raise UsageError(f"the report would lie in the bundle {out}; name another --report")
    kept = hidden_sibling(out, ".create")
    if kept and real_path(folder).is_relative_to(kept):
        raise UsageError(f"the report would lie in {kept}, which keeps the stages; name another --report")
    check_report_folder(folder, "--report")
    from allweather.create.create import create as create_bundle
    from allweather.create.report import distinct_systems, summary_table
    from allweather.trainers.data.files.outputs import check_output_is_no_class

    if settings.data is not None:
        check_output_is_no_class(folder, settings.data, "--report")
    prepare_cpu()
    try:
        with stage_table() as watch:
            origin = origin_of(context, settings.seed)
            made = create_bundle(settings, out, folder, download=download, origin=origin, say=say, watch=watch)
    except KeyboardInterrupt:
        say("stopped; the same command goes on where it was")
        raise
    facts: dict[str, Any] = {
        "bundle": str(made.out), "report": str(made.report / "report.html"), "kept": str(made.kept),
        "seconds": sum(stage.seconds for stage in made.stages),
    }  # fmt: skip
    if as_json:
        stages = {stage.name: {"state": stage.state, "seconds": stage.seconds} for stage in made.stages}
        print_result({**facts, "stages": stages, "comparison": to_json(made.comparison)}, True, "created")
        return
    print_table(summary_table(distinct_systems(made.comparison.systems)))
    print_result(facts, False, "created")
