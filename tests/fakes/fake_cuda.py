"""CUDA without a GPU: functions with the signatures of the real ones, and a record of all memory that is allocated.

Device memory is host memory at the returned address, so a wrong address or size does as much harm as on a GPU.
"""

from __future__ import annotations

import ctypes
import enum
import itertools
from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any


class Error(enum.IntEnum):
    """cudaError_t, with the numbers of CUDA."""

    cudaSuccess = 0
    cudaErrorMemoryAllocation = 2
    cudaErrorInsufficientDriver = 35


class Handle(int):
    """A stream or a graph; int() gives its address, as with the handles of the bindings."""


class FakeCudart:
    """Stands in for the module cuda.bindings.runtime.

    Attributes:
        failing: Names of the functions that fail from now on.
        calls: Number of calls of each function.
        live: Everything that is allocated and not freed yet, by address: its kind and the object.
        recording: Work that is captured for a graph; None where nothing is captured.
        queue: Work in the stream, which runs when the stream is synchronized.
    """

    cudaHostAllocDefault = 0
    cudaStreamNonBlocking = 1
    cudaMemcpyKind = SimpleNamespace(cudaMemcpyHostToDevice=1, cudaMemcpyDeviceToHost=2)
    cudaStreamCaptureMode = SimpleNamespace(cudaStreamCaptureModeThreadLocal=1)

    def __init__(self) -> None:
        self.failing: set[str] = set()
        self.calls: Counter[str] = Counter()
        self.live: dict[int, tuple[str, Any]] = {}
        self.recording: list[Callable[[], None]] | None = None
        self.queue: list[Callable[[], None]] = []
        self._handles = itertools.count(1)

    def _call(self, name: str, work: Callable[[], Any]) -> tuple[Any, ...]:
        self.calls[name] += 1
        if name in self.failing:
            return (Error.cudaErrorMemoryAllocation, None)
        value = work()
        return (Error.cudaSuccess,) if value is None else (Error.cudaSuccess, value)

    def _register(self, kind: str, resource: Any, address: int | None = None) -> Handle:
        handle = Handle(next(self._handles) if address is None else address)
        self.live[handle] = (kind, resource)
        return handle

    def _free(self, kind: str, handle: int) -> None:
        assert self.live.pop(handle)[0] == kind, "freed by the function for another kind"

    def _allocate(self, kind: str, size: int) -> Handle:
        buffer = (ctypes.c_uint8 * size)()
        return self._register(kind, buffer, ctypes.addressof(buffer))

    def put(self, work: Callable[[], None]) -> None:
        """Adds work to the stream: to the graph that is captured, or to the queue."""
        (self.queue if self.recording is None else self.recording).append(work)

    def cudaGetDeviceCount(self) -> tuple[Any, ...]:
        return self._call("cudaGetDeviceCount", lambda: 1)

    def cudaGetDeviceProperties(self, device: int) -> tuple[Any, ...]:
        return self._call("cudaGetDeviceProperties", lambda: SimpleNamespace(name=b"Fake Orin", major=8, minor=7))

    def cudaDriverGetVersion(self) -> tuple[Any, ...]:
        return self._call("cudaDriverGetVersion", lambda: 12060)

    def cudaMalloc(self, size: int) -> tuple[Any, ...]:
        return self._call("cudaMalloc", lambda: self._allocate("device", size))

    def cudaFree(self, devPtr: int) -> tuple[Any, ...]:
        return self._call("cudaFree", lambda: self._free("device", devPtr))

    def cudaHostAlloc(self, size: int, flags: int) -> tuple[Any, ...]:
        return self._call("cudaHostAlloc", lambda: self._allocate("host", size))

    def cudaFreeHost(self, ptr: int) -> tuple[Any, ...]:
        return self._call("cudaFreeHost", lambda: self._free("host", ptr))

    def cudaStreamCreateWithFlags(self, flags: int) -> tuple[Any, ...]:
        return self._call("cudaStreamCreateWithFlags", lambda: self._register("stream", None))

    def cudaStreamDestroy(self, stream: int) -> tuple[Any, ...]:
        return self._call("cudaStreamDestroy", lambda: self._free("stream", stream))

    def cudaMemcpyAsync(self, dst: int, src: int, count: int, kind: int, stream: int) -> tuple[Any, ...]:
        assert self.live[stream][0] == "stream"
        download = kind == self.cudaMemcpyKind.cudaMemcpyDeviceToHost
        for address, expected in ((dst, "host" if download else "device"), (src, "device" if download else "host")):
            actual, buffer = self.live[address]
            assert actual == expected, "copied in the wrong direction"
            assert len(buffer) >= count, "copied beyond the end"
        return self._call("cudaMemcpyAsync", lambda: self.put(lambda: ctypes.memmove(dst, src, count) and None))

    def cudaStreamSynchronize(self, stream: int) -> tuple[Any, ...]:
        def work() -> None:
            assert self.recording is None, "a stream must not be synchronized while a graph is captured"
            for step in self.queue:
                step()
            self.queue.clear()

        return self._call("cudaStreamSynchronize", work)

    def cudaStreamBeginCapture(self, stream: int, mode: int) -> tuple[Any, ...]:
        def work() -> None:
            assert self.recording is None
            self.recording = []

        return self._call("cudaStreamBeginCapture", work)

    def cudaStreamEndCapture(self, stream: int) -> tuple[Any, ...]:
        recorded, self.recording = self.recording, None
        assert recorded is not None
        return self._call("cudaStreamEndCapture", lambda: self._register("graph", recorded))

    def cudaGraphInstantiate(self, graph: int, flags: int) -> tuple[Any, ...]:
        return self._call("cudaGraphInstantiate", lambda: self._register("ready", self.live[graph][1]))

    def cudaGraphDestroy(self, graph: int) -> tuple[Any, ...]:
        return self._call("cudaGraphDestroy", lambda: self._free("graph", graph))

    def cudaGraphExecDestroy(self, graphExec: int) -> tuple[Any, ...]:
        return self._call("cudaGraphExecDestroy", lambda: self._free("ready", graphExec))

    def cudaGraphLaunch(self, graphExec: int, stream: int) -> tuple[Any, ...]:
        return self._call("cudaGraphLaunch", lambda: self.queue.extend(self.live[graphExec][1]))

    def cudaGetLastError(self) -> tuple[Any, ...]:
        return self._call("cudaGetLastError", lambda: None)
