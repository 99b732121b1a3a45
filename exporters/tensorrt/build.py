"""From an ONNX graph to a TensorRT engine, on the device that will run it. Neither torch nor onnx is needed there."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING

from allweather.exporters.tensorrt.progress import BuildProgress
from allweather.runtimes.engines.tensorrt.library import Library, flat
from allweather.runtimes.errors import EngineError

if TYPE_CHECKING:
    import tensorrt

WORKSPACE = 1 << 30  # bytes that one layer may compute in; a Jetson shares its memory with all that runs there
WEAK_FLAGS = {"fp32": (), "fp16": ("FP16",), "bf16": ("BF16",), "int8": ("INT8", "FP16")}
TICK = 0.1  # seconds between two looks at the progress
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Built:
    """What a build gives: the serialized engine, and what was measured for the next build (empty: nothing)."""

    engine: bytes
    timings: bytes


@dataclass(frozen=True)
class BuildConfig:
    """What is to be built.

    Attributes:
        graph: an .onnx file's content; fp32, of typed fp16 or bf16 arithmetic, or with symmetric int8 Q/DQ pairs.
        precision: of the model in the bundle; says nothing new where the library types networks strongly.
        largest: most pictures in one call.
        architecture: compute capability of the device, such as "8.7".
        timings: of an earlier build; may be empty.
    """

    graph: bytes
    precision: str
    largest: int
    architecture: str
    timings: bytes = b""


def build(
    library: Library, build_config: BuildConfig, watch: Callable[[float, str], None] = lambda share, step: None
) -> Built:
    """Builds an engine for 1 to `largest` pictures; takes seconds to many minutes.

    The build runs in a thread beside this one, so that Ctrl-C arrives here and never inside the library, which a Python
    error would abort; it ends at the library's next step.

    Args:
        library: that builds, and will run it.
        order: what to build.
        watch: told how much is done, 0..1, and the step, about ten times a second.

    Raises:
        EngineError: the library refuses the graph, naming the node, or cannot build it.
    """
    progress = BuildProgress(library.trt)
    with ThreadPoolExecutor(1, "build engine") as worker:
        future = worker.submit(_build, library, build_config, progress)
        try:
            while wait([future], TICK).not_done:
                watch(progress.share, progress.step)
            return future.result()
        except BaseException:
            progress.cancelled = True
            raise


def _build(library: Library, build_config: BuildConfig, progress: BuildProgress) -> Built:
    """Strongly typed: the graph says the arithmetic of each layer. Weakly only where a library before 11 cannot."""
    kinds = library.trt.NetworkDefinitionCreationFlag
    weak = [flag for flag in WEAK_FLAGS[build_config.precision] if hasattr(library.trt.BuilderFlag, flag)]
    if not hasattr(kinds, "STRONGLY_TYPED"):
        return _serialized(library, build_config, progress, 0, weak)
    try:
        return _serialized(library, build_config, progress, 1 << int(kinds.STRONGLY_TYPED), [])
    except EngineError as error:
        if not weak or progress.cancelled:
            raise
        log.warning("%s; trying builder flags %s, which is untried on hardware", error, ", ".join(weak))
        try:
            return _serialized(library, build_config, progress, 0, weak)
        except EngineError:
            raise error from None


def _serialized(
    library: Library, build_config: BuildConfig, progress: BuildProgress, kind: int, flags: list[str]
) -> Built:
    trt = library.trt
    library.logger.error = ""
    try:
        builder = trt.Builder(library.logger)
    except TypeError as error:  # what the bindings make of a null pointer
        raise EngineError(f"{library.variant} cannot build here: {library.error}; see 'allweather doctor'") from error
    network = builder.create_network(kind)
    parser = trt.OnnxParser(network, library.logger)
    if not parser.parse(build_config.graph):
        raise EngineError(_refusal(library, parser))
    if (network.num_inputs, network.num_outputs) != (1, 1):
        raise EngineError(f"{library.variant}: the model has not one input and one output; export it again")
    config: tensorrt.IBuilderConfig = _configured(library, build_config, builder, network)
    for flag in flags:
        config.set_flag(getattr(trt.BuilderFlag, flag))
    if progress.monitor is not None:
        config.progress_monitor = progress.monitor
    cache: tensorrt.ITimingCache | None = _timing_cache(library, build_config, config)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        reason = "the build was stopped" if progress.cancelled else library.error
        raise EngineError(f"{library.variant} cannot build the {build_config.precision} engine: {reason}")
    return Built(bytes(plan), bytes(cache.serialize()) if cache is not None else b"")


def _configured(
    library: Library, build_config: BuildConfig, builder: tensorrt.Builder, network: tensorrt.INetworkDefinition
) -> tensorrt.IBuilderConfig:
    """Memory limit, range of batch sizes, target."""
    trt = library.trt
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, WORKSPACE)
    if log.isEnabledFor(logging.DEBUG):  # the library's own lines then name each layer's arithmetic
        config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    pictures = network.get_input(0)
    one = (1, *tuple(pictures.shape)[1:])
    profile = builder.create_optimization_profile()
    profile.set_shape(pictures.name, one, one, (build_config.largest, *one[1:]))  # most calls look once
    if config.add_optimization_profile(profile) < 0:
        raise EngineError(
            f"{library.variant} refuses 1 to {build_config.largest} pictures of {list(one[1:])}: {library.error}"
        )
    target = f"SM{build_config.architecture.replace('.', '')}"
    if hasattr(trt, "ComputeCapability") and hasattr(trt.ComputeCapability, target):
        config.num_compute_capabilities = 1
        config.set_compute_capability(getattr(trt.ComputeCapability, target), 0)
    return config


def _timing_cache(
    library: Library, build_config: BuildConfig, config: tensorrt.IBuilderConfig
) -> tensorrt.ITimingCache | None:
    """Measurements of layers, which later builds need not repeat; None for RTX, which measures nothing."""
    if library.variant == "tensorrt_rtx":
        return None
    cache = config.create_timing_cache(build_config.timings)
    if cache is None or not config.set_timing_cache(cache, False):
        cache = config.create_timing_cache(b"")  # of another version or device: begun anew
        if cache is None or not config.set_timing_cache(cache, False):
            return None
    return cache


def _refusal(library: Library, parser: tensorrt.OnnxParser) -> str:
    """The first of the parser's errors, with its node."""
    if parser.num_errors == 0:
        return f"{library.variant} cannot read the model: {library.error}; export it again"
    error = parser.get_error(0)
    node = f"the node {flat(error.node_name())} ({flat(error.node_operator())})" if error.node_name() else "the model"
    return f"{library.variant} refuses {node}: {flat(error.desc())}; export it again"
