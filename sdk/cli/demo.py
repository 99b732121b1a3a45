"""allweather demo."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from allweather.cli.console import handle_errors, print_result, progress_bar, say
from allweather.cli.options import AsJson, Seed
from allweather.cli.training import keep_freed_memory_on_cpu


@handle_errors
def demo(
    out: Annotated[Path, typer.Option(help="Folder to write the report, video and images into.")] = Path("demo"),
    epochs: Annotated[int, typer.Option(help="Number of passes over the training images.")] = 3,
    frames: Annotated[int, typer.Option(help="Number of frames of the drive.")] = 600,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Trains on road signs, exports to INT8, and drives past signs in bad weather."""
    from allweather.demo.demo import run_demo

    keep_freed_memory_on_cpu()
    with progress_bar("demo") as update:
        summary = run_demo(out, epochs=epochs, frames=frames, seed=seed, say=say, watch=update)
    print_result(summary, as_json, "demo")
