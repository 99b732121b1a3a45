"""allweather build."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from allweather.cli.console import guarded, progress, result, say
from allweather.cli.options import AsJson
from allweather.runtimes.engines.registry import open_engine
from allweather.runtimes.errors import DependencyError


class Flavour(str, Enum):
    """Libraries that build on the device."""

    tensorrt = "tensorrt"
    tensorrt_rtx = "tensorrt_rtx"


PARTS = 1000  # of the progress bar


@guarded
def build(
    bundle: Annotated[Path, typer.Argument(help="made by export: a folder or .zip")],
    engine: Annotated[Flavour, typer.Option(help="tensorrt on a Jetson, tensorrt_rtx on a PC with an RTX card")] = (
        Flavour.tensorrt
    ),
    as_json: AsJson = False,
) -> None:
    """Builds a bundle's TensorRT engines on this device and checks them; once, as they are kept."""
    from allweather.exporters.tensorrt.build_bundle import build_engines
    from allweather.runtimes.bundle.bundle import Bundle

    opened = Bundle.open(bundle)
    last = ""
    with progress("build", PARTS) as update:

        def watch(share: float, step: str) -> None:
            nonlocal last
            if "waiting" in step and step != last:
                say(step)  # also where no bar is shown
            last = step
            update(int(PARTS * share), f"build: {step}")

        try:
            built = build_engines(opened, engine.value, watch)
        except DependencyError as error:
            raise DependencyError(f"nothing to build with: {error}") from error
    models = []
    for one in built:
        model = next(
            each
            for each in opened.manifest.models
            if (each.engine, each.role, each.precision) == ("tensorrt", one.role, one.precision)
        )
        running, _ = open_engine(opened, engine.value, one.precision, model.role)  # replays the golden frames
        running.close()
        done = f"built in {one.seconds:.1f} s" if one.seconds else "was built already"
        say(f"{one.role} {one.precision}: {done}; answers the golden frames as it must")
        models.append({"role": one.role, "precision": one.precision, "seconds": one.seconds, "engine": one.key.digest})
    key = built[0].key
    about = {"engine": engine.value, "version": key.version, "gpu": key.gpu, "cuda": key.cuda, "models": models}
    result({"bundle": str(bundle), **about}, as_json, "built")
