"""A TensorRT engine that runs: the same for both libraries, and without torch."""

from __future__ import annotations

import hashlib
import logging
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from allweather.runtimes.engines.registry import CompiledModel
from allweather.runtimes.engines.tensorrt.cache import CURE, EngineKey, built_engines
from allweather.runtimes.engines.tensorrt.cuda import Cuda, Gpu, open_cuda
from allweather.runtimes.engines.tensorrt.library import Library, open_library
from allweather.runtimes.errors import EngineError
from allweather.runtimes.types import Floats, Image

if TYPE_CHECKING:
    import tensorrt

LARGEST = 12  # images that one call takes, such as all views of a frame; larger batches are run in parts
FLOAT = 4  # bytes
log = logging.getLogger(__name__)


def key_of(network: CompiledModel, library: Library, gpu: Gpu) -> EngineKey:
    """What an engine of this network depends on, here."""
    return EngineKey(
        onnx=hashlib.sha256(network.graph).hexdigest(),
        precision=network.precision,
        height=network.input.height,
        width=network.input.width,
        batch=LARGEST,
        variant=library.variant,
        version=library.version,
        gpu=gpu.name,
        architecture=gpu.architecture,
        cuda=gpu.cuda,
    )


def probe_session(variant: str) -> str:
    """The version of a TensorRT library that can run here.

    Raises:
        DependencyError: it, CUDA's bindings or a GPU is missing.
    """
    library = open_library(variant)
    open_cuda().gpu()
    return library.version


def start_session(variant: str, network: CompiledModel) -> TensorrtEngine:
    """Runs the engine that was built of a network on this device.

    Raises:
        DependencyError: the library, CUDA's bindings or a GPU is missing.
        NotBuiltError: it has not been built.
        EngineError: it was damaged, or the device refuses it.
    """
    library, cuda = open_library(variant), open_cuda()
    plan = built_engines().load(key_of(network, library, cuda.gpu()))
    return TensorrtEngine(library, cuda, network, plan)


@dataclass
class _Lane:
    """One batch size: a context of its own, as a graph is bound to the context that it was captured from."""

    context: tensorrt.IExecutionContext
    graph: Any = None
    tried: bool = False


class TensorrtEngine:
    """Runs a built engine; each batch size is run once as it is, and from then on as one CUDA graph.

    Args:
        library: that built it.
        cuda: of the device.
        network: that it was built of.
        plan: the serialized engine, checked.

    Raises:
        EngineError: the device refuses it, has no memory left, or it was built of another network.
    """

    def __init__(self, library: Library, cuda: Cuda, network: CompiledModel, plan: bytes) -> None:
        self._library, self._cuda, self._outputs = library, cuda, network.outputs
        self._shape = (network.input.height, network.input.width, 3)
        self._lanes: dict[int, _Lane] = {}
        picture = int(np.prod(self._shape))
        with ExitStack() as held:
            held.callback(self._forget)
            self._runtime, loaded = self._loaded(plan)
            engine: tensorrt.ICudaEngine = loaded
            self._engine = engine
            self._input, self._output, self._largest = self._tensors(engine)
            self._scratch_size = int(engine.device_memory_size_v2)
            # what the contexts compute in; they share it, as only one of them runs at a time
            self._scratch = cuda.device_memory(held, max(1, self._scratch_size))
            self._device_in = cuda.device_memory(held, self._largest * picture)
            self._device_out = cuda.device_memory(held, self._largest * self._outputs * FLOAT)
            self._host_in = cuda.host_memory(held, self._largest * picture)
            self._host_out = cuda.host_memory(held, self._largest * self._outputs * FLOAT)
            self._stream = cuda.stream(held)
            held.callback(self._lanes.clear)  # contexts go before the memory that they use
            self._held = held.pop_all()
        self._images = self._host_in.reshape(self._largest, *self._shape)
        self._logits = self._host_out.view(np.float32).reshape(self._largest, self._outputs)

    def infer(self, images: Image) -> Floats:
        """See `Engine.infer`."""
        if self._engine is None:
            raise EngineError(f"the engine {self._library.variant} has been closed; load it again")
        if images.ndim != 4 or images.shape[1:] != self._shape or images.dtype != np.uint8 or not len(images):
            raise EngineError(
                f"{self._library.variant} takes uint8 {['n', *self._shape]}; got {images.dtype} {list(images.shape)}"
            )
        parts = [self._part(images[i : i + self._largest]) for i in range(0, len(images), self._largest)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def close(self) -> None:
        """See `Engine.close`."""
        try:
            self._held.close()
        except EngineError as error:  # the device is lost, and its memory with it
            log.warning("%s, while its engine was closed", error)

    def _part(self, images: Image) -> Floats:
        count = len(images)
        lane = self._lanes.get(count) or self._new_lane(count)
        self._images[:count] = images
        if lane.graph is not None:
            self._cuda.launch(lane.graph, self._stream)
        else:
            self._enqueue(lane.context, count)
        self._cuda.wait(self._stream)
        answers: Floats = self._logits[:count].copy()
        if not lane.tried:
            self._capture(lane, count)
        return answers

    def _enqueue(self, context: tensorrt.IExecutionContext, count: int) -> None:
        self._cuda.upload(self._host_in, self._device_in, count * int(np.prod(self._shape)), self._stream)
        if not context.execute_async_v3(int(self._stream)):
            raise EngineError(f"{self._library.variant} failed on {count} pictures: {self._library.error}")
        self._cuda.download(self._device_out, self._host_out, count * self._outputs * FLOAT, self._stream)

    def _capture(self, lane: _Lane, count: int) -> None:
        """Makes a graph of what was just run; where that is refused, the size goes on without."""
        lane.tried = True
        try:
            lane.graph = self._cuda.captured(self._held, self._stream, lambda: self._enqueue(lane.context, count))
        except EngineError as error:
            self._cuda.forget_error()
            log.warning(
                "no CUDA graph for %d pictures (%s): each call is queued anew, which takes longer", count, error
            )

    def _new_lane(self, count: int) -> _Lane:
        trt = self._library.trt
        engine: tensorrt.ICudaEngine = self._engine
        context: tensorrt.IExecutionContext = engine.create_execution_context(
            trt.ExecutionContextAllocationStrategy.USER_MANAGED
        )
        if context is None:
            raise EngineError(f"{self._library.variant} has no room for {count} pictures: {self._library.error}")
        context.set_device_memory(self._scratch, self._scratch_size)
        fits = (
            context.set_input_shape(self._input, (count, *self._shape))
            and context.set_tensor_address(self._input, self._device_in)
            and context.set_tensor_address(self._output, self._device_out)
        )
        if not fits:
            raise EngineError(f"{self._library.variant} refuses {count} pictures: {self._library.error}")
        self._lanes[count] = _Lane(context)
        return self._lanes[count]

    def _loaded(self, plan: bytes) -> tuple[tensorrt.Runtime, tensorrt.ICudaEngine]:
        trt, library = self._library.trt, self._library
        library.logger.error = ""
        try:
            runtime = trt.Runtime(library.logger)
        except TypeError as error:  # what the bindings make of a null pointer
            raise EngineError(f"{library.variant} cannot run here: {library.error}; see 'allweather doctor'") from error
        engine = runtime.deserialize_cuda_engine(plan)
        if engine is None:
            raise EngineError(f"{library.variant} cannot load its engine here: {library.error}; {CURE}")
        return runtime, engine

    def _tensors(self, engine: tensorrt.ICudaEngine) -> tuple[str, str, int]:
        """Names of input and output, and the largest batch.

        Raises:
            EngineError: they are not what the bundle's networks have.
        """
        trt = self._library.trt
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        taken = [name for name in names if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT]
        given = [name for name in names if name not in taken]
        fits = (
            len(taken) == len(given) == 1
            and tuple(engine.get_tensor_shape(taken[0])) == (-1, *self._shape)
            and tuple(engine.get_tensor_shape(given[0]))[1:] == (self._outputs,)
            and engine.get_tensor_dtype(taken[0]) == trt.DataType.UINT8
            and engine.get_tensor_dtype(given[0]) == trt.DataType.FLOAT
        )
        if not fits:
            raise EngineError(
                f"{self._library.variant}: the model does not turn uint8 {['n', *self._shape]} into float32 "
                f"{['n', self._outputs]}; export it again"
            )
        _, _, largest = engine.get_tensor_profile_shape(taken[0], 0)
        return taken[0], given[0], int(largest[0])

    def _forget(self) -> None:
        """Objects of the library end with their last name."""
        self._engine = self._runtime = None
