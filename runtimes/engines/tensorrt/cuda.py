"""The CUDA calls that engines need, each of them checked. An `ExitStack` frees memory, streams and graphs."""

from __future__ import annotations

import ctypes
import importlib
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from allweather.runtimes.engines.registry import install_command
from allweather.runtimes.errors import DependencyError, EngineError, first_line

BINDINGS = ("cuda.bindings.runtime", "cuda.cudart")  # the second is the name of the first before cuda-python 12.8


@dataclass(frozen=True)
class Gpu:
    """A GPU.

    Attributes:
        name: Its name, such as "Orin".
        architecture: Its compute capability, such as "8.7".
        cuda: Newest version of CUDA that its driver supports, such as "12.6".
    """

    name: str
    architecture: str
    cuda: str


class Cuda:
    """The CUDA runtime on the first GPU.

    Args:
        cudart: The runtime module of cuda-python.
    """

    def __init__(self, cudart: Any) -> None:
        self._cudart = cudart

    def gpu(self) -> Gpu:
        """Returns the GPU.

        Raises:
            DependencyError: There is no GPU, or its driver does not work.
        """
        cudart = self._cudart
        try:
            (count,) = self._check("find a GPU", cudart.cudaGetDeviceCount())
            (properties,) = self._check("read the properties of the GPU", cudart.cudaGetDeviceProperties(0))
            (version,) = self._check("read the version of the driver", cudart.cudaDriverGetVersion())
        except (EngineError, RuntimeError) as error:  # RuntimeError: the bindings find no libcuda
            raise DependencyError(
                f"no NVIDIA GPU was found ({first_line(error)}); "
                "check that its driver is installed and that nvidia-smi finds it"
            ) from error
        assert count > 0  # CUDA reports an error if there is no GPU
        return Gpu(
            properties.name.decode(errors="replace"),
            f"{properties.major}.{properties.minor}",
            f"{version // 1000}.{version % 1000 // 10}",
        )

    def device_memory(self, resources: ExitStack, size: int) -> int:
        """Allocates memory on the GPU, which `resources` frees.

        Returns:
            The address of `size` bytes.
        """
        cudart = self._cudart
        (address,) = self._check(f"allocate {size} bytes on the GPU", cudart.cudaMalloc(size))
        resources.callback(lambda: self._check("free memory on the GPU", cudart.cudaFree(address)))
        return int(address)

    def host_memory(self, resources: ExitStack, size: int) -> npt.NDArray[np.uint8]:
        """Allocates page-locked memory, which the GPU copies from and to without the CPU; `resources` frees it.

        Returns:
            uint8 [size].
        """
        cudart = self._cudart
        (address,) = self._check(f"pin {size} bytes", cudart.cudaHostAlloc(size, cudart.cudaHostAllocDefault))
        resources.callback(lambda: self._check("free pinned memory", cudart.cudaFreeHost(address)))
        return np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(int(address)))

    def stream(self, resources: ExitStack) -> Any:
        """Creates a stream that does not wait for other streams; `resources` destroys it."""
        cudart = self._cudart
        (stream,) = self._check("create a stream", cudart.cudaStreamCreateWithFlags(cudart.cudaStreamNonBlocking))
        resources.callback(lambda: self._check("free a stream", cudart.cudaStreamDestroy(stream)))
        return stream

    def upload(self, host: npt.NDArray[np.uint8], device: int, size: int, stream: Any) -> None:
        """Queues a copy of `size` bytes to the GPU."""
        cudart = self._cudart
        kind = cudart.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._check("copy to the GPU", cudart.cudaMemcpyAsync(device, host.ctypes.data, size, kind, stream))

    def download(self, device: int, host: npt.NDArray[np.uint8], size: int, stream: Any) -> None:
        """Queues a copy of `size` bytes from the GPU."""
        cudart = self._cudart
        kind = cudart.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._check("copy from the GPU", cudart.cudaMemcpyAsync(host.ctypes.data, device, size, kind, stream))

    def synchronize(self, stream: Any) -> None:
        """Waits until everything that is queued in a stream is done."""
        self._check("run", self._cudart.cudaStreamSynchronize(stream))

    def capture(self, resources: ExitStack, stream: Any, enqueue: Callable[[], None]) -> Any:
        """Captures what `enqueue` queues in a stream as a graph, without running it.

        Returns:
            The graph, for `launch`; `resources` frees it.

        Raises:
            EngineError: CUDA cannot capture it.
        """
        cudart = self._cudart
        # Only calls of this thread are captured: the classifier and the loss predictor run in threads of their own.
        mode = cudart.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self._check("begin a graph", cudart.cudaStreamBeginCapture(stream, mode))
        try:
            enqueue()
        except BaseException:
            error, graph = cudart.cudaStreamEndCapture(stream)  # otherwise the stream could not be used again
            if int(error) == 0:
                self._check("free a graph", cudart.cudaGraphDestroy(graph))
            raise
        (graph,) = self._check("end a graph", cudart.cudaStreamEndCapture(stream))
        try:
            (executable,) = self._check("prepare a graph", cudart.cudaGraphInstantiate(graph, 0))
            resources.callback(lambda: self._check("free a prepared graph", cudart.cudaGraphExecDestroy(executable)))
        finally:
            self._check("free a graph", cudart.cudaGraphDestroy(graph))
        return executable

    def launch(self, graph: Any, stream: Any) -> None:
        """Queues everything that a graph holds."""
        self._check("launch a graph", self._cudart.cudaGraphLaunch(graph, stream))

    def clear_error(self) -> None:
        """Clears the error of a failed capture; otherwise the next call would report it."""
        self._cudart.cudaGetLastError()

    def _check(self, action: str, result: tuple[Any, ...]) -> tuple[Any, ...]:
        """Returns the values of a call, which follow its error code.

        Raises:
            EngineError: The error code is not success.
        """
        error, *values = result
        if int(error) != 0:
            raise EngineError(f"CUDA cannot {action}: {getattr(error, 'name', error)}")
        return tuple(values)


def open_cuda() -> Cuda:
    """Imports CUDA through cuda-python.

    Raises:
        DependencyError: It is not installed.
    """
    reason = ""
    for name in BINDINGS:
        try:
            return Cuda(importlib.import_module(name))
        except (ImportError, OSError) as error:
            reason = reason or first_line(error)
    raise DependencyError(f"the Python bindings of CUDA cannot be imported ({reason}); {install_command('tensorrt')}")
