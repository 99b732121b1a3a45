"""Runs a TensorRT engine that was built on this device, with either of the two TensorRT libraries and without torch."""

from __future__ import annotations

import hashlib
import logging
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from allweather.runtimes.engines.base import CompiledModel, Engine
from allweather.runtimes.engines.tensorrt.cache import BUILD_HINT, EngineKey, built_engines
from allweather.runtimes.engines.tensorrt.cuda import Cuda, Gpu, open_cuda
from allweather.runtimes.engines.tensorrt.library import Library, open_library
from allweather.runtimes.errors import EngineError
from allweather.runtimes.types import Floats, Image

if TYPE_CHECKING:
    import tensorrt

# Most images in one call of the GPU. An engine is built for a range of batch sizes, and memory is allocated for the
# largest: 12 is enough for the twelve views of `VIEWS`. Larger batches are run in parts.
MAX_BATCH_SIZE = 12
FLOAT_BYTES = 4
log = logging.getLogger(__name__)


def key_of(model: CompiledModel, library: Library, gpu: Gpu) -> EngineKey:
    """Returns everything that an engine built from this model on this device depends on."""
    return EngineKey(
        onnx=hashlib.sha256(model.graph).hexdigest(),
        precision=model.precision,
        height=model.input.height,
        width=model.input.width,
        max_batch_size=MAX_BATCH_SIZE,
        variant=library.variant,
        version=library.version,
        gpu=gpu.name,
        architecture=gpu.architecture,
        cuda=gpu.cuda,
    )


def probe(variant: str) -> str:
    """Returns the version of a TensorRT library that can run on this device.

    Args:
        variant: "tensorrt" or "tensorrt_rtx".

    Raises:
        DependencyError: The library, the Python bindings of CUDA or a GPU is missing.
    """
    library = open_library(variant)
    open_cuda().gpu()
    return library.version


def start(model: CompiledModel, variant: str) -> Engine:
    """Loads the engine that 'allweather build' has built from a model on this device.

    Args:
        model: An ONNX model.
        variant: "tensorrt" or "tensorrt_rtx".

    Raises:
        DependencyError: The library, the Python bindings of CUDA or a GPU is missing.
        NotBuiltError: The engine has not been built yet.
        EngineError: The engine is damaged, or TensorRT cannot load it.
    """
    library, cuda = open_library(variant), open_cuda()
    plan = built_engines().load(key_of(model, library, cuda.gpu()))
    return TensorrtEngine(library, cuda, model, plan)


@dataclass
class _BatchContext:
    """The execution context of one batch size.

    Each size has its own, because a CUDA graph is bound to the context that it was captured from.

    Attributes:
        context: TensorRT's context, with the shape of the input and the addresses of input and output.
        graph: The captured CUDA graph; None if there is none.
        capture_tried: Whether capturing was tried; if it failed, it is not tried again.
    """

    context: tensorrt.IExecutionContext
    graph: Any = None
    capture_tried: bool = False


class TensorrtEngine:
    """Runs a built engine. The first call with a batch size queues its steps; later calls launch them as a CUDA graph.

    Args:
        library: The library that built the engine.
        cuda: CUDA on the device.
        model: The model that the engine was built from.
        plan: The serialized engine, verified.

    Raises:
        EngineError: TensorRT cannot load the engine, the GPU has too little memory, or the engine does not fit the
            model.
    """

    def __init__(self, library: Library, cuda: Cuda, model: CompiledModel, plan: bytes) -> None:
        self._library, self._cuda, self._outputs = library, cuda, model.outputs
        self._shape = (model.input.height, model.input.width, 3)
        self._contexts: dict[int, _BatchContext] = {}
        image_bytes = int(np.prod(self._shape))
        with ExitStack() as resources:
            resources.callback(self._release)
            self._runtime, loaded = self._load(plan)
            engine: tensorrt.ICudaEngine = loaded
            self._engine = engine
            self._input, self._output, self._max_batch_size = self._check_tensors(engine)
            # Workspace of the contexts. They share it, because only one of them runs at a time.
            self._workspace_size = int(engine.device_memory_size_v2)
            self._workspace = cuda.device_memory(resources, max(1, self._workspace_size))
            self._device_input = cuda.device_memory(resources, self._max_batch_size * image_bytes)
            self._device_output = cuda.device_memory(resources, self._max_batch_size * self._outputs * FLOAT_BYTES)
            self._host_input = cuda.host_memory(resources, self._max_batch_size * image_bytes)
            self._host_output = cuda.host_memory(resources, self._max_batch_size * self._outputs * FLOAT_BYTES)
            self._stream = cuda.stream(resources)
            resources.callback(self._contexts.clear)  # contexts are freed before the memory that they use
            self._resources = resources.pop_all()
        self._images = self._host_input.reshape(self._max_batch_size, *self._shape)
        self._logits = self._host_output.view(np.float32).reshape(self._max_batch_size, self._outputs)

    def infer(self, images: Image) -> Floats:
        """See `Engine.infer`."""
        if self._engine is None:
            raise EngineError(f"the engine {self._library.variant} has been closed; load it again")
        if images.ndim != 4 or images.shape[1:] != self._shape or images.dtype != np.uint8 or not len(images):
            raise EngineError(
                f"{self._library.variant} takes uint8 {['n', *self._shape]}; got {images.dtype} {list(images.shape)}"
            )
        size = self._max_batch_size
        parts = [self._infer_batch(images[i : i + size]) for i in range(0, len(images), size)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def close(self) -> None:
        """See `Engine.close`."""
        try:
            self._resources.close()
        except EngineError as error:  # the device is lost, and its memory with it
            log.warning("%s, while its engine was closed", error)

    def _infer_batch(self, images: Image) -> Floats:
        count = len(images)
        batch = self._contexts.get(count) or self._new_context(count)
        self._images[:count] = images
        if batch.graph is not None:
            self._cuda.launch(batch.graph, self._stream)
        else:
            self._enqueue(batch.context, count)
        self._cuda.synchronize(self._stream)
        logits: Floats = self._logits[:count].copy()
        if not batch.capture_tried:
            self._capture(batch, count)
        return logits

    def _enqueue(self, context: tensorrt.IExecutionContext, count: int) -> None:
        """Queues the copy to the GPU, the inference, and the copy back."""
        self._cuda.upload(self._host_input, self._device_input, count * int(np.prod(self._shape)), self._stream)
        if not context.execute_async_v3(int(self._stream)):
            raise EngineError(f"{self._library.variant} failed on {count} images: {self._library.error}")
        self._cuda.download(self._device_output, self._host_output, count * self._outputs * FLOAT_BYTES, self._stream)

    def _capture(self, batch: _BatchContext, count: int) -> None:
        """Captures the steps of a batch size as a CUDA graph; if that fails, each call queues them one by one."""
        batch.capture_tried = True
        try:
            batch.graph = self._cuda.capture(self._resources, self._stream, lambda: self._enqueue(batch.context, count))
        except EngineError as error:
            self._cuda.clear_error()
            log.warning(
                "no CUDA graph for %d images (%s): each call queues its steps one by one, which takes longer",
                count,
                error,
            )

    def _new_context(self, count: int) -> _BatchContext:
        trt = self._library.trt
        engine: tensorrt.ICudaEngine = self._engine
        context: tensorrt.IExecutionContext = engine.create_execution_context(
            trt.ExecutionContextAllocationStrategy.USER_MANAGED
        )
        if context is None:
            raise EngineError(f"{self._library.variant} has no memory for {count} images: {self._library.error}")
        context.set_device_memory(self._workspace, self._workspace_size)
        fits = (
            context.set_input_shape(self._input, (count, *self._shape))
            and context.set_tensor_address(self._input, self._device_input)
            and context.set_tensor_address(self._output, self._device_output)
        )
        if not fits:
            raise EngineError(f"{self._library.variant} does not take {count} images: {self._library.error}")
        self._contexts[count] = _BatchContext(context)
        return self._contexts[count]

    def _load(self, plan: bytes) -> tuple[tensorrt.Runtime, tensorrt.ICudaEngine]:
        trt, library = self._library.trt, self._library
        library.logger.error = ""
        try:
            runtime = trt.Runtime(library.logger)
        except TypeError as error:  # the bindings raise it for a null pointer
            raise EngineError(f"{library.variant} cannot run here: {library.error}; see 'allweather doctor'") from error
        engine = runtime.deserialize_cuda_engine(plan)
        if engine is None:
            raise EngineError(f"{library.variant} cannot load its engine here: {library.error}; {BUILD_HINT}")
        return runtime, engine

    def _check_tensors(self, engine: tensorrt.ICudaEngine) -> tuple[str, str, int]:
        """Returns the names of input and output, and the largest batch size.

        Raises:
            EngineError: The engine's input and output are not those of the model.
        """
        trt = self._library.trt
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        inputs = [name for name in names if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT]
        outputs = [name for name in names if name not in inputs]
        fits = (
            len(inputs) == len(outputs) == 1
            and tuple(engine.get_tensor_shape(inputs[0])) == (-1, *self._shape)
            and tuple(engine.get_tensor_shape(outputs[0]))[1:] == (self._outputs,)
            and engine.get_tensor_dtype(inputs[0]) == trt.DataType.UINT8
            and engine.get_tensor_dtype(outputs[0]) == trt.DataType.FLOAT
        )
        if not fits:
            raise EngineError(
                f"{self._library.variant}: the model does not turn uint8 {['n', *self._shape]} into float32 "
                f"{['n', self._outputs]}; export it again"
            )
        _, _, largest = engine.get_tensor_profile_shape(inputs[0], 0)
        return inputs[0], outputs[0], int(largest[0])

    def _release(self) -> None:
        """Drops the library's objects, which are freed with their last reference."""
        self._engine = self._runtime = None
