"""allweather demo."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from allweather.cli.console import guarded, progress, result, say
from allweather.cli.options import AsJson, Seed


@guarded
def demo(
    out: Annotated[Path, typer.Option(help="folder for the video, the pictures and report.html")] = Path("demo"),
    epochs: Annotated[int, typer.Option(help="passes over the training pictures")] = 3,
    frames: Annotated[int, typer.Option(help="length of the drive video")] = 600,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Trains on road signs, exports to INT8, drives past signs in bad weather, and shows how it went."""
    from allweather.demo.demo import run_demo

    with progress("demo", None) as update:

        def watch(done: int, step: str) -> None:
            update(done, step)

        summary = run_demo(out, epochs=epochs, frames=frames, seed=seed, say=say, watch=watch)
    result(summary, as_json, "demo")
