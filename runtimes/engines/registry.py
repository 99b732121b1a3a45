"""Engines: what runs a compiled network. One file each, `engine_<name>.py`, found by name and imported on demand.

An engine module has two functions: `probe()` says which version is there, or raises `DependencyError` with the command
that mends it; `start(network)` compiles. Its library is imported inside them.
"""

from __future__ import annotations

import importlib
import logging
import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Protocol

import numpy as np

from allweather.runtimes import engines
from allweather.runtimes.bundle.bundle import Bundle
from allweather.runtimes.bundle.manifest import Model, Role
from allweather.runtimes.errors import BundleError, DependencyError, EngineError, NotBuiltError, ParityError
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.types import Floats, Image

PREFERENCE = ("tensorrt", "openvino", "onnx")  # where a bundle has several: a GPU, then the fastest on a CPU
BATCH = 50  # of measurements over many pictures
# engines that run the models of another, where they are asked for by name
SIBLINGS = {"openvino_gpu": "openvino", "openvino_npu": "openvino", "tensorrt_rtx": "tensorrt"}
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CompiledModel:
    """A compiled network as it lies in a bundle.

    Attributes:
        graph: ONNX, or OpenVINO IR's xml.
        weights: OpenVINO IR's bin; empty where `graph` holds them.
        precision: "fp32", "bf16", "fp16" or "int8".
        input: size of the pictures it takes.
        outputs: numbers that it answers with for each picture: one a class, or one a view.
        threads: of the processor to run it on; None for the library's choice, all cores.
    """

    graph: bytes
    weights: bytes
    precision: str
    input: InputSpec
    outputs: int
    threads: int | None = None


class Engine(Protocol):
    """Runs one network. Not for use by several threads at once."""

    def infer(self, images: Image) -> Floats:
        """uint8 [n, h, w, 3], RGB, n >= 1 -> float32 [n, outputs], the caller's to keep.

        Raises:
            EngineError: the engine failed.
        """

    def close(self) -> None:
        """Frees what the engine holds; it cannot be used after."""


@dataclass(frozen=True)
class EngineStatus:
    """Whether an engine can run here: its library's version, or the reason why not."""

    name: str
    version: str | None
    reason: str


def statuses() -> Iterator[EngineStatus]:
    """Tries every engine that allweather has."""
    for name in names():
        try:
            yield EngineStatus(name, _module(name).probe(), "")
        except DependencyError as error:
            yield EngineStatus(name, None, str(error))


def names() -> list[str]:
    """Names of all engines, by their files."""
    found = (module.name for module in pkgutil.iter_modules(engines.__path__))
    return sorted(name.removeprefix("engine_") for name in found if name.startswith("engine_"))


def open_engine(
    bundle: Bundle,
    engine: str | None = None,
    precision: str | None = None,
    role: Role = "classifier",
    threads: int | None = None,
) -> tuple[Engine, Model | None]:
    """Compiles the best fitting model of a bundle and checks it on the golden frames.

    Args:
        bundle: opened.
        engine: one of `names()`; None for the first of `PREFERENCE` that runs here.
        precision: "fp32", "bf16", "fp16" or "int8"; None for the one that the bundle prefers.
        role: which of its networks.
        threads: of the processor, >= 1; None for all cores.

    Returns:
        The engine and the model it runs; no model for the fake engine, which needs none.

    Raises:
        EngineError: no model fits, no engine runs here (all reasons are listed), or a library refuses the model.
        NotBuiltError: the engine that was asked for has to be built on this device first.
        ParityError: the engine answers differently than on the day of the export.
        BundleError: it has no network of this role, or one that ranks other views.
    """
    if engine is not None and engine not in names():
        raise EngineError(
            f"unknown engine {engine!r}; choose one of {', '.join(name for name in names() if name != 'fake')}"
        )
    taken = bundle.input_of(role)
    if engine == "fake":
        return _module("fake").start(CompiledModel(b"", b"", "fp32", taken, bundle.outputs(role))), None
    reasons: list[str] = []
    unbuilt: list[str] = []
    for model in _candidates(bundle, engine, precision, role):
        try:
            running = _start(bundle, model, engine or model.engine, threads)
        except DependencyError as error:
            reasons.append(str(error))
            continue
        except NotBuiltError as error:
            if engine is not None:
                raise
            if not unbuilt:
                log.warning("%s: %s; another engine runs it until then", bundle.path, error)
            unbuilt.append(str(error))
            continue
        try:
            _replay(bundle, model, running)
        except BaseException:
            running.close()
            raise
        return running, model
    told = "; ".join(dict.fromkeys(unbuilt + reasons))
    if engine is not None:
        raise EngineError(f"{engine} cannot run {bundle.path} here, leave it out or choose another: {told}")
    raise EngineError(f"no engine here can run {bundle.path}: {told}")


def infer_all(engine: Engine, images: Image) -> Floats:
    """Runs an engine over prepared pictures in batches.

    Args:
        engine: open.
        images: uint8 [n, h, w, 3], n >= 1.

    Returns:
        float32 [n, C].
    """
    return np.concatenate([engine.infer(images[i : i + BATCH]) for i in range(0, len(images), BATCH)])


def _candidates(bundle: Bundle, engine: str | None, precision: str | None, role: Role) -> list[Model]:
    there = [model for model in bundle.manifest.models if model.role == role]
    runs = None if engine is None else SIBLINGS.get(engine, engine)
    fitting = [model for model in there if runs in (None, model.engine) and precision in (None, model.precision)]
    if not fitting:
        have = ", ".join(f"{model.engine} {model.precision}" for model in there)
        wanted = (f" for {engine}" if engine else "") + (f" in {precision}" if precision else "")
        raise EngineError(f"{bundle.path} has no {role}{wanted}; it has {have}: choose one of these or export it")
    return sorted(fitting, key=lambda model: PREFERENCE.index(model.engine))  # stable: see `Manifest.models`


def compiled_model(bundle: Bundle, model: Model, threads: int | None = None) -> CompiledModel:
    """A model of a bundle as engines take it.

    Raises:
        BundleError: it is damaged.
    """
    return CompiledModel(
        graph=bundle.read(model.file),
        weights=bundle.read(model.weights) if model.weights else b"",
        precision=model.precision,
        input=bundle.input_of(model.role),
        outputs=bundle.outputs(model.role),
        threads=threads,
    )


def _start(bundle: Bundle, model: Model, engine: str, threads: int | None) -> Engine:
    started: Engine = _module(engine).start(compiled_model(bundle, model, threads))
    return started


def _replay(bundle: Bundle, model: Model, engine: Engine) -> None:
    """Runs the golden frames, one by one as the loop does, and compares."""
    frames, wanted, taken = bundle.golden_frames(), bundle.golden_outputs(model), bundle.input_of(model.role)
    differences = []
    for frame, logits in zip(frames, wanted.astype(np.float64), strict=True):
        got = engine.infer(taken.prepare(frame)[None])
        if got.shape != (1, len(logits)):
            raise BundleError(f"{bundle.path}: {model.file} gives {list(got.shape)} logits, not {[1, len(logits)]}")
        with np.errstate(invalid="ignore"):  # nan, and infinity less infinity, count as different
            differences.append(np.abs(got[0] - logits).max())
    difference = float(np.max(differences))  # nan where one is nan
    if not difference <= model.tolerance:
        raise ParityError(
            f"{model.engine} {model.precision} answers the bundle's golden frames differently here: logits are off by "
            f"{difference:.3g}, at most {model.tolerance:.3g} is allowed; try --precision fp32, or export it here"
        )


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"allweather.runtimes.engines.engine_{name}")
