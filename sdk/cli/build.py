"""allweather build."""

from __future__ import annotations

from typing import Annotated

import typer

from allweather.cli.console import handle_errors, print_result, progress_bar, say
from allweather.cli.options import AsJson, BundleFile
from allweather.runtimes.choices import TensorRTVariant
from allweather.runtimes.errors import DependencyError

PROGRESS_STEPS = 1000  # of the progress bar


@handle_errors
def build(
    bundle: BundleFile,
    engine: Annotated[
        TensorRTVariant,
        typer.Option(help="Library to build with: tensorrt on a Jetson, tensorrt_rtx on a PC with an RTX card."),
    ] = "tensorrt",
    as_json: AsJson = False,
) -> None:
    """Builds and checks the TensorRT engines of a bundle on this device."""
    from allweather.exporters.tensorrt.build_bundle import build_engines
    from allweather.runtimes.bundle.bundle import Bundle
    from allweather.runtimes.engines.open import open_engine

    opened = Bundle.open(bundle)
    last_step = ""
    with progress_bar("build", PROGRESS_STEPS) as update:

        def watch(share: float, step: str) -> None:
            nonlocal last_step
            if "waiting" in step and step != last_step:
                say(step)  # also where no progress bar is shown
            last_step = step
            update(int(PROGRESS_STEPS * share), f"build: {step}", PROGRESS_STEPS)

        try:
            built = build_engines(opened, engine, watch)
        except DependencyError as error:
            raise DependencyError(f"nothing to build with: {error}") from error
    models = []
    for one in built:
        model = next(
            each
            for each in opened.manifest.models
            if (each.engine, each.role, each.precision) == ("tensorrt", one.role, one.precision)
        )
        running, _ = open_engine(opened, engine, one.precision, model.role)  # replays the golden frames
        running.close()
        outcome = f"built in {one.seconds:.1f} s" if one.seconds else "was built already"
        say(f"{one.role} {one.precision}: {outcome}; its outputs for the golden frames are right")
        models.append({"role": one.role, "precision": one.precision, "seconds": one.seconds, "engine": one.key.digest})
    key = built[0].key
    facts = {"engine": engine, "version": key.version, "gpu": key.gpu, "cuda": key.cuda, "models": models}
    print_result({"bundle": str(bundle), **facts}, as_json, "built")
