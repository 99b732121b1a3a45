"""What one machine makes of a bundle and of pictures; benchmarks/arm64.py runs it on x86 and, emulated, on arm64.

    python benchmarks/arm64_answers.py BUNDLE PICTURES.npz ANSWERS.npz

Numpy, OpenCV and the engines alone: this is what a device has. All that comes out is arrays in one file.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from allweather import load
from allweather.runtimes.bundle import Bundle
from allweather.runtimes.device import this_device
from allweather.runtimes.engine import open_engine, statuses
from allweather.runtimes.errors import EngineError, first_line
from allweather.runtimes.frame import Floats, Image
from allweather.runtimes.image import InputSpec
from allweather.runtimes.manifest import Model
from allweather.runtimes.views import CLASSICS, VIEWS

ANY = 1e9  # a tolerance that refuses nothing, to measure what was refused
SIDES = (20, 48, 224)  # pixels; that pictures are brought to beside the bundle's own

Named = tuple[str, npt.NDArray[np.generic]]


def name_of(model: Model) -> str:
    """Tells the models of a bundle apart."""
    return f"{model.role}-{model.engine}-{model.precision}"


def refusal(bundle: Bundle, model: Model) -> str:
    """What is said when the model is opened as a device does, which replays the golden frames; empty if nothing."""
    try:
        opened, _ = open_engine(bundle, model.engine, model.precision, model.role)
    except EngineError as error:
        return first_line(error)
    opened.close()
    return ""


def answers(bundle: Bundle, model: Model, pictures: Image) -> Iterator[Named]:
    """A model's answers to the golden frames and to `pictures`, one by one as the loop asks for them."""
    every = tuple(each.model_copy(update={"tolerance": ANY}) for each in bundle.manifest.models)
    tolerant = replace(bundle, manifest=bundle.manifest.model_copy(update={"models": every}))
    engine, _ = open_engine(tolerant, model.engine, model.precision, model.role)
    with closing(engine):
        for name, images in {"golden": bundle.golden_frames(), "pictures": pictures}.items():
            prepared = [bundle.taken_by(model.role).prepare(image) for image in images]
            found: Floats = np.concatenate([engine.run(image[None]) for image in prepared])
            yield f"{name}/{name_of(model)}", found


def decisions(bundle: Bundle, model: Model, frames: Image) -> npt.NDArray[np.float64]:
    """Probabilities after the whole journey of a frame, as the bundle wants it decided: [n, C]."""
    with load(bundle.path, engine=model.engine, precision=model.precision) as perceiver:
        return np.array([perceiver(frame).probabilities for frame in frames], np.float64)


def pixels(spec: InputSpec, pictures: Image, frames: Image) -> Iterator[Named]:
    """What `prepare` and each view make of them."""
    targets = {(side, side): InputSpec(side, side) for side in SIDES} | {(spec.height, spec.width): spec}
    for images in (pictures, frames):
        tall, wide = images.shape[1:3]
        for (height, width), target in targets.items():
            if (height, width) != (tall, wide):
                made = np.stack([target.prepare(image) for image in images])
                yield f"prepare/{wide} x {tall} to {width} x {height}", made
    for name, view in (VIEWS | CLASSICS).items():
        yield f"view/{name}", np.stack([view.apply(image) for image in pictures])


def everything(bundle: Bundle, pictures: Image, frames: Image) -> Iterator[Named]:
    """All of the above by name, and what this machine is."""
    yield "machine", np.array(f"{this_device().line()}, Python {platform.python_version()}")
    versions = {status.name: status.version for status in statuses()}
    for model in bundle.manifest.models:
        refused = refusal(bundle, model)
        yield f"refused/{name_of(model)}", np.array(refused)
        yield f"version/{name_of(model)}", np.array(versions.get(model.engine) or "")
        if not versions.get(model.engine):
            continue
        yield from answers(bundle, model, pictures)
        if model.role == "classifier" and not refused:
            yield f"decisions/{name_of(model)}", decisions(bundle, model, frames)
    yield from pixels(bundle.input, pictures, frames)


def main() -> None:
    """Writes the answers."""
    place, given, out = map(Path, sys.argv[1:])
    with np.load(given) as arrays:
        pictures, frames = arrays["pictures"], arrays["frames"]
    np.savez(out, **dict(everything(Bundle.open(place), pictures, frames)))


if __name__ == "__main__":
    main()
