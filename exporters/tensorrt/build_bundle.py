"""Builds the TensorRT engines of a bundle on this device, once."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from allweather.exporters.tensorrt.build import BuildConfig, build
from allweather.runtimes.bundle.bundle import Bundle
from allweather.runtimes.bundle.manifest import Model
from allweather.runtimes.engines.registry import compiled_model
from allweather.runtimes.engines.tensorrt.cache import BuiltEngines, EngineKey, built_engines
from allweather.runtimes.engines.tensorrt.cuda import open_cuda
from allweather.runtimes.engines.tensorrt.library import Library, open_library
from allweather.runtimes.engines.tensorrt.session import key_of
from allweather.runtimes.errors import EngineError, NotBuiltError

Watch = Callable[[float, str], None]
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BuiltModel:
    """One engine.

    Attributes:
        role: of its network: "classifier" or "predictor".
        precision: of the model in the bundle.
        seconds: that the build took; 0 where the engine was there.
        key: what it depends on.
    """

    role: str
    precision: str
    seconds: float
    key: EngineKey


def build_engines(
    bundle: Bundle, variant: str, watch: Watch = lambda share, step: None, clock: Callable[[], float] = time.monotonic
) -> Sequence[BuiltModel]:
    """Builds every TensorRT model of a bundle that is not there yet.

    Args:
        bundle: opened.
        flavour: "tensorrt" or "tensorrt_rtx".
        watch: told how much of the whole is done, 0..1, and the step.
        clock: seconds.

    Raises:
        DependencyError: the library, CUDA's bindings or a GPU is missing.
        EngineError: the bundle has no such model, or the library cannot build it.
        OutputError: the cache cannot be written to.
    """
    models = [model for model in bundle.manifest.models if model.engine == "tensorrt"]
    if not models:
        raise EngineError(f"{bundle.path} has no model for TensorRT; export it with --engine tensorrt")
    library = open_library(variant)
    gpu = open_cuda().gpu()
    built = []
    for number, model in enumerate(models):

        def step(share: float, name: str, number: int = number, model: Model = model) -> None:
            watch((number + share) / len(models), f"{model.role} {model.precision}: {name}")

        network = compiled_model(bundle, model)
        key, began = key_of(network, library, gpu), clock()
        anew = _ensured(built_engines(), library, key, network.graph, step)
        built.append(BuiltModel(model.role, model.precision, clock() - began if anew else 0.0, key))
    return built


def _ensured(there: BuiltEngines, library: Library, key: EngineKey, graph: bytes, watch: Watch) -> bool:
    """Builds an engine unless it is there and whole; returns whether it was built."""
    with there.building(key, lambda: watch(0.0, "another process builds it; waiting")):
        try:
            there.load(key)
        except NotBuiltError:
            pass
        except EngineError as error:
            log.warning("%s; it is built anew", error)
        else:
            return False
        build_config = BuildConfig(graph, key.precision, key.batch, key.architecture, there.timings(key))
        done = build(library, build_config, watch)
        if done.timings:
            there.store_timings(key, done.timings)
        there.store(key, done.engine)
    return True
