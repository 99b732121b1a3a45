"""Computes the outputs of a bundle on one machine; arm64.py runs this on x86 and, under qemu, on arm64.

    python benchmarks/exporters/arm64_logits.py BUNDLE INPUTS.npz OUT.npz

It measures nothing itself and has no rival: it reads INPUTS and writes outputs and pixels as arrays to OUT,
an .npz file, too, which arm64.py compares. It imports numpy, OpenCV and the engines only, because a device has no more
than these.
"""

from __future__ import annotations

import argparse
import platform
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

ENGINES = ("openvino", "onnx")  # these have wheels for arm64; a TensorRT model needs its GPU
NO_LIMIT = 1e9  # tolerance with which every model opens, so that the outputs of a refused one can be compared
SIZES = (20, 48, 224)  # pixels; to which images are resized, besides the size that the bundle takes

NamedArray = tuple[str, npt.NDArray[np.generic]]


def comparable(bundle: Bundle) -> tuple[Model, ...]:
    """Returns the models that run without a GPU."""
    return tuple(model for model in bundle.manifest.models if model.engine in ENGINES)


def name_of(model: Model) -> str:
    """Returns a name that is unique among the models of a bundle."""
    return f"{model.role}-{model.engine}-{model.precision}"


def open_model(bundle: Bundle, model: Model) -> tuple[Engine, str]:
    """Opens an engine with this model as a device does; returns it with the error message, "" if it opens."""
    try:
        return open_engine(bundle, model.engine, model.precision, model.role)[0], ""
    except ParityError as error:
        models = tuple(each.model_copy(update={"tolerance": NO_LIMIT}) for each in bundle.manifest.models)
        tolerant = replace(bundle, manifest=bundle.manifest.model_copy(update={"models": models}))
        return open_engine(tolerant, model.engine, model.precision, model.role)[0], str(error)


def outputs(bundle: Bundle, model: Model, engine: Engine, images: Image) -> Floats:
    """Returns a model's outputs for images, computed one by one as in the camera loop."""
    spec = bundle.input_of(model.role)
    return np.concatenate([engine.infer(spec.prepare(image)[None]) for image in images])


def decisions(bundle: Bundle, model: Model, engine: Engine, frames: Image) -> npt.NDArray[np.float64]:
    """Returns the probabilities [n, C] of a perceiver with the bundle's policy.

    It is built as `allweather.load` builds it, but without the watchdog: an emulated call may take longer than the
    watchdog waits.
    """
    policy = (*bundle.manifest.policies, CENTER)[0]
    with ExitStack() as stack:
        loss_predictor = None
        if policy.needs_predictor:
            loss_predictor = LossPredictor(
                stack.enter_context(closing(open_loss_predictor(bundle, model))), bundle.input_of("predictor")
            )
        perceiver = Perceiver(engine, bundle.classes, bundle.input, policy=policy, loss_predictor=loss_predictor)
        return np.array([perceiver(frame).probabilities for frame in frames], np.float64)


def pixels(spec: InputSpec, images: Image, frames: Image) -> Iterator[NamedArray]:
    """Yields what `InputSpec.prepare` makes of images and frames, and each view of the images."""
    targets = {(size, size): InputSpec(size, size) for size in SIZES} | {(spec.height, spec.width): spec}
    for batch in (images, frames):
        old_height, old_width = batch.shape[1:3]
        for (height, width), target in targets.items():
            if (height, width) != (old_height, old_width):
                prepared = np.stack([target.prepare(image) for image in batch])
                yield f"prepare/{old_width} x {old_height} to {width} x {height}", prepared
    for name, view in (VIEWS | CLASSIC_VIEWS).items():
        yield f"view/{name}", np.stack([view.apply(image) for image in images])


def all_arrays(bundle: Bundle, images: Image, frames: Image) -> Iterator[NamedArray]:
    """Yields a description of this machine, and for each model its version, outputs and decisions; then pixels."""
    yield "machine", np.array(f"{this_device().line()}, Python {platform.python_version()}")
    engines = {status.name: status for status in statuses()}
    for model in comparable(bundle):
        name, status = name_of(model), engines[model.engine]
        yield f"version/{name}", np.array(status.version or "")
        if status.version is None:
            yield f"error/{name}", np.array(status.reason)
            continue
        engine, error = open_model(bundle, model)
        with closing(engine):
            yield f"error/{name}", np.array(error)
            yield f"golden/{name}", outputs(bundle, model, engine, bundle.golden_frames())
            yield f"images/{name}", outputs(bundle, model, engine, images)
            if model.role == "classifier":
                yield f"decisions/{name}", decisions(bundle, model, engine, frames)
    yield from pixels(bundle.input, images, frames)


def main() -> None:
    """Reads images and frames, and writes the arrays."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("bundle", "inputs", "out"):
        parser.add_argument(name, type=Path, metavar=name.upper())
    args = parser.parse_args()
    with np.load(args.inputs) as arrays:
        images, frames = arrays["images"], arrays["frames"]
    np.savez(args.out, **dict(all_arrays(Bundle.open(args.bundle), images, frames)))


if __name__ == "__main__":
    main()
