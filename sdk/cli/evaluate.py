"""allweather evaluate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from allweather.cli.console import guarded, plain, result, say
from allweather.cli.options import AsJson, Data, Download, Engine, Precision


@guarded
def evaluate(
    target: Annotated[Path, typer.Argument(help="a checkpoint (.safetensors) or a bundle")],
    data: Data,
    engine: Engine = None,
    precision: Precision = None,
    out: Annotated[Path | None, typer.Option(help="folder for report.html, result.json and pictures")] = None,
    download: Download = False,
    as_json: AsJson = False,
) -> None:
    """Measures a classifier on the test pictures."""
    from allweather.report import write_evaluation
    from allweather.trainers.evaluate import evaluate_target

    evaluation = evaluate_target(
        target,
        data,
        engine=engine.value if engine else None,
        precision=precision.value if precision else None,
        download=download,
    )
    for note in evaluation.notes:
        say(note)
    if out:
        write_evaluation(evaluation, out)
    result(plain(evaluation), as_json, "evaluated")
