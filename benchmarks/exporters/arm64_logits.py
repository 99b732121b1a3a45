"""The logits of a bundle on one machine; benchmarks/exporters/arm64.py runs it on x86 and, emulated, on arm64.

    python benchmarks/exporters/arm64_logits.py BUNDLE PICTURES.npz ANSWERS.npz

Numpy, OpenCV and the engines alone: this is what a device has. All that comes out is arrays in one file.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from allweather.runtimes.bundle.bundle import Bundle
from allweather.runtimes.bundle.manifest import Model
from allweather.runtimes.engines.base import Engine
from allweather.runtimes.engines.open import open_engine
from allweather.runtimes.engines.registry import statuses
from allweather.runtimes.errors import ParityError
from allweather.runtimes.load import open_loss_predictor
from allweather.runtimes.perceiver import CENTER, LossPredictor, Perceiver
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.system.device import this_device
from allweather.runtimes.tta.views import CLASSIC_VIEWS, VIEWS
from allweather.runtimes.types import Floats, Image

ENGINES = ("openvino", "onnx")  # that have wheels for arm64; a TensorRT model needs its GPU
ANY = 1e9  # a tolerance that refuses nothing, to measure what was refused
SIDES = (20, 48, 224)  # pixels; that pictures are brought to beside the bundle's own

Named = tuple[str, npt.NDArray[np.generic]]


def comparable(bundle: Bundle) -> tuple[Model, ...]:
    """The models that run without a GPU."""
    return tuple(model for model in bundle.manifest.models if model.engine in ENGINES)


def name_of(model: Model) -> str:
    """Tells the models of a bundle apart."""
    return f"{model.role}-{model.engine}-{model.precision}"


def opened(bundle: Bundle, model: Model) -> tuple[Engine, str]:
    """An engine with this model, and what is said when it is opened as a device does; nothing if it opens."""
    try:
        return open_engine(bundle, model.engine, model.precision, model.role)[0], ""
    except ParityError as error:
        every = tuple(each.model_copy(update={"tolerance": ANY}) for each in bundle.manifest.models)
        tolerant = replace(bundle, manifest=bundle.manifest.model_copy(update={"models": every}))
        return open_engine(tolerant, model.engine, model.precision, model.role)[0], str(error)


def answers(bundle: Bundle, model: Model, engine: Engine, images: Image) -> Floats:
    """A model's answers to pictures, one by one as the loop asks for them."""
    spec = bundle.input_of(model.role)
    return np.concatenate([engine.infer(spec.prepare(image)[None]) for image in images])


def decisions(bundle: Bundle, model: Model, engine: Engine, frames: Image) -> npt.NDArray[np.float64]:
    """Probabilities after the whole journey of a frame, decided as the bundle wants it: [n, C].

    As `allweather.load` does it, but without its guard: an emulated call may take longer than the guard waits.
    """
    policy = (*bundle.manifest.policies, CENTER)[0]
    with ExitStack() as undo:
        loss_predictor = None
        if policy.needs_predictor:
            loss_predictor = LossPredictor(
                undo.enter_context(closing(open_loss_predictor(bundle, model))), bundle.input_of("predictor")
            )
        perceiver = Perceiver(engine, bundle.classes, bundle.input, policy=policy, loss_predictor=loss_predictor)
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
    for name, view in (VIEWS | CLASSIC_VIEWS).items():
        yield f"view/{name}", np.stack([view.apply(image) for image in pictures])


def everything(bundle: Bundle, pictures: Image, frames: Image) -> Iterator[Named]:
    """All of the above by name, and what this machine is."""
    yield "machine", np.array(f"{this_device().line()}, Python {platform.python_version()}")
    there = {status.name: status for status in statuses()}
    for model in comparable(bundle):
        name, status = name_of(model), there[model.engine]
        yield f"version/{name}", np.array(status.version or "")
        if status.version is None:
            yield f"refused/{name}", np.array(status.reason)
            continue
        engine, refused = opened(bundle, model)
        with closing(engine):
            yield f"refused/{name}", np.array(refused)
            yield f"golden/{name}", answers(bundle, model, engine, bundle.golden_frames())
            yield f"pictures/{name}", answers(bundle, model, engine, pictures)
            if model.role == "classifier":
                yield f"decisions/{name}", decisions(bundle, model, engine, frames)
    yield from pixels(bundle.input, pictures, frames)


def main() -> None:
    """Writes the answers."""
    place, given, out = map(Path, sys.argv[1:])
    with np.load(given) as arrays:
        pictures, frames = arrays["pictures"], arrays["frames"]
    np.savez(out, **dict(everything(Bundle.open(place), pictures, frames)))


if __name__ == "__main__":
    main()
