"""From an ONNX graph to a TensorRT engine, on the device that will run it; needs neither torch nor onnx."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING

from allweather.exporters.tensorrt.progress import BuildProgress
from allweather.runtimes.engines.tensorrt.library import Library, one_line
from allweather.runtimes.errors import EngineError

if TYPE_CHECKING:
    import tensorrt

WORKSPACE_BYTES = 1 << 30  # scratch memory of one layer; a Jetson shares its memory with everything that runs there
PRECISION_FLAGS = {"fp32": (), "fp16": ("FP16",), "bf16": ("BF16",), "int8": ("INT8", "FP16")}
PROGRESS_SECONDS = 0.1  # between two reports of the progress
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BuildResult:
    """Result of a build.

    Attributes:
        engine: The serialized engine.
        timing_cache: Measurements that make the next build shorter; empty if there are none.
    """

    engine: bytes
    timing_cache: bytes


@dataclass(frozen=True)
class BuildConfig:
    """What to build, and for which device.

    Attributes:
        graph: Content of an .onnx file: fp32, typed fp16 or bf16 arithmetic, or symmetric int8 Q/DQ pairs.
        precision: Precision of the model in the bundle. A library that types networks strongly reads it from the graph.
        max_batch_size: Most images in one call.
        compute_capability: Compute capability of the device, such as "8.7".
        timing_cache: The timing cache of an earlier build; may be empty.
    """

    graph: bytes
    precision: str
    max_batch_size: int
    compute_capability: str
    timing_cache: bytes = b""


def build(
    library: Library, build_config: BuildConfig, watch: Callable[[float, str], None] = lambda share, step: None
) -> BuildResult:
    """Builds an engine for 1 to `max_batch_size` images; takes seconds to many minutes.

    The build runs in a second thread, so that Ctrl-C arrives in this one and never inside the library, which a Python
    exception would abort. After Ctrl-C the build ends at the library's next step.

    Args:
        library: Library that builds the engine, and will run it.
        build_config: What to build.
        watch: Called with the share that is done, 0..1, and the name of the step, about ten times a second.

    Raises:
        EngineError: The library does not accept the graph (the message names the node), or cannot build it.
    """
    progress = BuildProgress(library.trt)
    with ThreadPoolExecutor(1, "build engine") as worker:
        future = worker.submit(_build, library, build_config, progress)
        try:
            while wait([future], PROGRESS_SECONDS).not_done:
                watch(progress.share, progress.step)
            return future.result()
        except BaseException:
            progress.cancelled = True
            raise


def _build(library: Library, build_config: BuildConfig, progress: BuildProgress) -> BuildResult:
    """Builds a strongly typed network, in which the graph sets the precision of each layer.

    Builder flags set the precision only where a library before version 11 cannot build a strongly typed network.
    """
    creation_flags = library.trt.NetworkDefinitionCreationFlag
    flags = [flag for flag in PRECISION_FLAGS[build_config.precision] if hasattr(library.trt.BuilderFlag, flag)]
    if not hasattr(creation_flags, "STRONGLY_TYPED"):
        return _build_network(library, build_config, progress, 0, flags)
    try:
        return _build_network(library, build_config, progress, 1 << int(creation_flags.STRONGLY_TYPED), [])
    except EngineError as error:
        if not flags or progress.cancelled:
            raise
        log.warning(
            "%s; trying the builder flags %s instead, which has never been tested on a GPU", error, ", ".join(flags)
        )
        try:
            return _build_network(library, build_config, progress, 0, flags)
        except EngineError:
            raise error from None


def _build_network(
    library: Library, build_config: BuildConfig, progress: BuildProgress, creation_flags: int, builder_flags: list[str]
) -> BuildResult:
    """Parses the graph and builds it once, with the given flags."""
    trt = library.trt
    library.logger.error = ""
    try:
        builder = trt.Builder(library.logger)
    except TypeError as error:  # what the bindings raise for a null pointer
        raise EngineError(f"{library.variant} cannot build here: {library.error}; see 'allweather doctor'") from error
    network = builder.create_network(creation_flags)
    parser = trt.OnnxParser(network, library.logger)
    if not parser.parse(build_config.graph):
        raise EngineError(_parse_error(library, parser))
    if (network.num_inputs, network.num_outputs) != (1, 1):
        raise EngineError(
            f"{library.variant} needs a model with one input and one output, but this one has {network.num_inputs} and "
            f"{network.num_outputs}; export it again"
        )
    config: tensorrt.IBuilderConfig = _builder_config(library, build_config, builder, network)
    for flag in builder_flags:
        config.set_flag(getattr(trt.BuilderFlag, flag))
    if progress.monitor is not None:
        config.progress_monitor = progress.monitor
    cache: tensorrt.ITimingCache | None = _timing_cache(library, build_config, config)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        reason = "the build was stopped" if progress.cancelled else library.error
        raise EngineError(f"{library.variant} cannot build the {build_config.precision} engine: {reason}")
    return BuildResult(bytes(plan), bytes(cache.serialize()) if cache is not None else b"")


def _builder_config(
    library: Library, build_config: BuildConfig, builder: tensorrt.Builder, network: tensorrt.INetworkDefinition
) -> tensorrt.IBuilderConfig:
    """Returns a configuration with memory limit, range of batch sizes and target device."""
    trt = library.trt
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, WORKSPACE_BYTES)
    if log.isEnabledFor(logging.DEBUG):  # the library then logs the precision of each layer
        config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    images = network.get_input(0)
    one = (1, *tuple(images.shape)[1:])
    profile = builder.create_optimization_profile()
    profile.set_shape(images.name, one, one, (build_config.max_batch_size, *one[1:]))  # most calls have one image
    if config.add_optimization_profile(profile) < 0:
        raise EngineError(
            f"{library.variant} does not accept batches of 1 to {build_config.max_batch_size} images of the shape "
            f"{list(one[1:])}: {library.error}"
        )
    target = f"SM{build_config.compute_capability.replace('.', '')}"
    if hasattr(trt, "ComputeCapability") and hasattr(trt.ComputeCapability, target):
        config.num_compute_capabilities = 1
        config.set_compute_capability(getattr(trt.ComputeCapability, target), 0)
    return config


def _timing_cache(
    library: Library, build_config: BuildConfig, config: tensorrt.IBuilderConfig
) -> tensorrt.ITimingCache | None:
    """Sets the timing cache, whose measurements later builds need not repeat; None for RTX, which measures nothing."""
    if library.variant == "tensorrt_rtx":
        return None
    cache = config.create_timing_cache(build_config.timing_cache)
    if cache is None or not config.set_timing_cache(cache, False):
        cache = config.create_timing_cache(b"")  # the old one is of another version or device
        if cache is None or not config.set_timing_cache(cache, False):
            return None
    return cache


def _parse_error(library: Library, parser: tensorrt.OnnxParser) -> str:
    """Returns the first of the parser's errors, with the name of the node."""
    if parser.num_errors == 0:
        return f"{library.variant} cannot read the model: {library.error}; export it again"
    error = parser.get_error(0)
    node = (
        f"the node {one_line(error.node_name())} ({one_line(error.node_operator())})"
        if error.node_name()
        else "the model"
    )
    return f"{library.variant} refuses {node}: {one_line(error.desc())}; export it again"
