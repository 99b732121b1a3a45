"""The CUDA calls that engines need, each checked. Memory and streams are freed by the stack they were put on."""

from __future__ import annotations

import ctypes
import importlib
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from allweather.runtimes.errors import DependencyError, EngineError, first_line

BINDINGS = ("cuda.bindings.runtime", "cuda.cudart")  # the second is what the first was called before cuda-python 12.8


@dataclass(frozen=True)
class Gpu:
    """A device.

    Attributes:
        name: such as "Orin".
        architecture: its compute capability, such as "8.7".
        cuda: newest version that its driver runs, such as "12.6".
    """

    name: str
    architecture: str
    cuda: str


class Cuda:
    """CUDA's runtime on the first device.

    Args:
        cudart: the module of cuda-python.
    """

    def __init__(self, cudart: Any) -> None:
        self._cudart = cudart

    def gpu(self) -> Gpu:
        """The device.

        Raises:
            DependencyError: none answers.
        """
        cudart = self._cudart
        try:
            (count,) = self._checked("find a GPU", cudart.cudaGetDeviceCount())
            (properties,) = self._checked("ask the GPU for its name", cudart.cudaGetDeviceProperties(0))
            (version,) = self._checked("ask the driver for its version", cudart.cudaDriverGetVersion())
        except (EngineError, RuntimeError) as error:  # RuntimeError: the bindings find no libcuda
            raise DependencyError(
                f"no NVIDIA GPU answers ({first_line(error)}); see that its driver is installed and nvidia-smi finds it"
            ) from error
        assert count > 0  # CUDA has an error for none
        return Gpu(
            properties.name.decode(errors="replace"),
            f"{properties.major}.{properties.minor}",
            f"{version // 1000}.{version % 1000 // 10}",
        )

    def device_memory(self, held: ExitStack, size: int) -> int:
        """Address of `size` bytes on the device."""
        cudart = self._cudart
        (address,) = self._checked(f"get {size} bytes on the GPU", cudart.cudaMalloc(size))
        held.callback(lambda: self._checked("free memory on the GPU", cudart.cudaFree(address)))
        return int(address)

    def host_memory(self, held: ExitStack, size: int) -> npt.NDArray[np.uint8]:
        """uint8 [size] in memory that stays where it is, so that the GPU copies from and to it by itself."""
        cudart = self._cudart
        (address,) = self._checked(f"pin {size} bytes", cudart.cudaHostAlloc(size, cudart.cudaHostAllocDefault))
        held.callback(lambda: self._checked("free pinned memory", cudart.cudaFreeHost(address)))
        return np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(int(address)))

    def stream(self, held: ExitStack) -> Any:
        """A queue of work that waits for no other."""
        cudart = self._cudart
        (stream,) = self._checked("make a stream", cudart.cudaStreamCreateWithFlags(cudart.cudaStreamNonBlocking))
        held.callback(lambda: self._checked("free a stream", cudart.cudaStreamDestroy(stream)))
        return stream

    def upload(self, host: npt.NDArray[np.uint8], device: int, size: int, stream: Any) -> None:
        """Queues a copy to the device."""
        cudart = self._cudart
        kind = cudart.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._checked("copy to the GPU", cudart.cudaMemcpyAsync(device, host.ctypes.data, size, kind, stream))

    def download(self, device: int, host: npt.NDArray[np.uint8], size: int, stream: Any) -> None:
        """Queues a copy from the device."""
        cudart = self._cudart
        kind = cudart.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._checked("copy from the GPU", cudart.cudaMemcpyAsync(host.ctypes.data, device, size, kind, stream))

    def wait(self, stream: Any) -> None:
        """Until all that is queued is done."""
        self._checked("run", self._cudart.cudaStreamSynchronize(stream))

    def captured(self, held: ExitStack, stream: Any, work: Callable[[], None]) -> Any:
        """What `work` puts into the stream, as a graph that one call launches; nothing of it is run here."""
        cudart = self._cudart
        # of this thread alone: the classifier and the predictor run in threads of their own
        mode = cudart.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self._checked("begin a graph", cudart.cudaStreamBeginCapture(stream, mode))
        try:
            work()
        except BaseException:
            error, graph = cudart.cudaStreamEndCapture(stream)  # or the stream could not be used again
            if int(error) == 0:
                self._checked("free a graph", cudart.cudaGraphDestroy(graph))
            raise
        (graph,) = self._checked("end a graph", cudart.cudaStreamEndCapture(stream))
        try:
            (ready,) = self._checked("prepare a graph", cudart.cudaGraphInstantiate(graph, 0))
            held.callback(lambda: self._checked("free a prepared graph", cudart.cudaGraphExecDestroy(ready)))
        finally:
            self._checked("free a graph", cudart.cudaGraphDestroy(graph))
        return ready

    def launch(self, graph: Any, stream: Any) -> None:
        """Queues all that a graph holds."""
        self._checked("launch a graph", self._cudart.cudaGraphLaunch(graph, stream))

    def forget_error(self) -> None:
        """Clears what a refused capture left behind, so that the next call does not report it."""
        self._cudart.cudaGetLastError()

    def _checked(self, what: str, answer: tuple[Any, ...]) -> tuple[Any, ...]:
        error, *values = answer
        if int(error) != 0:
            raise EngineError(f"CUDA cannot {what}: {getattr(error, 'name', error)}")
        return tuple(values)


def open_cuda() -> Cuda:
    """CUDA through cuda-python.

    Raises:
        DependencyError: it is not installed.
    """
    reason = ""
    for name in BINDINGS:
        try:
            return Cuda(importlib.import_module(name))
        except (ImportError, OSError) as error:
            reason = reason or first_line(error)
    raise DependencyError(f"CUDA's Python bindings: {reason}; pip install 'allweather[tensorrt]'")
