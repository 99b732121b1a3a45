"""Builds the TensorRT engines of a bundle on this device, and keeps them in its cache."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from allweather.exporters.tensorrt.build import BuildConfig, build
from allweather.runtimes.bundle.bundle import Bundle
from allweather.runtimes.bundle.manifest import Model
from allweather.runtimes.engines.open import compiled_model
from allweather.runtimes.engines.tensorrt.cache import BuiltEngines, EngineKey, built_engines
from allweather.runtimes.engines.tensorrt.cuda import open_cuda
from allweather.runtimes.engines.tensorrt.library import Library, open_library
from allweather.runtimes.engines.tensorrt.session import key_of
from allweather.runtimes.errors import EngineError, NotBuiltError, OutputError

Watch = Callable[[float, str], None]
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BuiltModel:
    """One model of the bundle whose engine is in the cache.

    Attributes:
        role: Role of the model: "classifier", "predictor" or "large".
        precision: Precision of the model in the bundle.
        seconds: Duration of the build; 0 if the engine was in the cache already.
        key: Everything the engine depends on.
    """

    role: str
    precision: str
    seconds: float
    key: EngineKey


def build_engines(
    bundle: Bundle, variant: str, watch: Watch = lambda share, step: None, clock: Callable[[], float] = time.monotonic
) -> Sequence[BuiltModel]:
    """Builds an engine for every TensorRT model of a bundle whose engine is not in the cache yet.

    Args:
        bundle: An open bundle.
        variant: Library to build with, "tensorrt" or "tensorrt_rtx".
        watch: Called with the share of the whole that is done, 0..1, and the name of the step.
        clock: Returns the time in seconds.

    Raises:
        DependencyError: The library, the CUDA bindings or a GPU is missing.
        EngineError: The bundle has no TensorRT model, or the library cannot build one.
        OutputError: The cache cannot be written.
    """
    models = [model for model in bundle.manifest.models if model.engine == "tensorrt"]
    if not models:
        raise EngineError(f"{bundle.path} has no model for TensorRT; export it with --engine tensorrt")
    library = open_library(variant)
    gpu = open_cuda().gpu()
    built = []
    for index, model in enumerate(models):

        def step(share: float, name: str, index: int = index, model: Model = model) -> None:
            watch((index + share) / len(models), f"{model.role} {model.precision}: {name}")

        compiled = compiled_model(bundle, model)
        key, started = key_of(compiled, library, gpu), clock()
        was_built = _build_if_missing(built_engines(), library, key, compiled.graph, step)
        built.append(BuiltModel(model.role, model.precision, clock() - started if was_built else 0.0, key))
    return built


def _build_if_missing(cache: BuiltEngines, library: Library, key: EngineKey, graph: bytes, watch: Watch) -> bool:
    """Builds an engine unless an undamaged one is in the cache; returns whether it was built."""
    with cache.building(key, lambda: watch(0.0, "another process builds it; waiting")):
        try:
            cache.load(key)
        except NotBuiltError:
            pass
        except EngineError as error:
            log.warning("%s; building it again", error)
        else:
            return False
        build_config = BuildConfig(
            graph, key.precision, key.max_batch_size, key.architecture, _timing_cache(cache, key)
        )
        result = build(library, build_config, watch)
        cache.store(key, result.engine)
        if result.timing_cache:
            try:
                cache.store_timing_cache(key, result.timing_cache)
            except OutputError as error:
                log.warning("%s; the next build measures again, which takes longer", error)
    return True


def _timing_cache(cache: BuiltEngines, key: EngineKey) -> bytes:
    """Returns the measurements of earlier builds; empty if they cannot be used, as they only make a build shorter."""
    try:
        return cache.timing_cache(key)
    except EngineError as error:
        log.warning("%s; building without the measurements of earlier builds, which takes longer", error)
        return b""
