"""CUDA without a GPU: the signatures of the real one, and memory that is counted.

Device memory is host memory at the address that is handed out, so a wrong address or size is as deadly as on a GPU.
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
    """As cudaError_t; the numbers are CUDA's."""

    cudaSuccess = 0
    cudaErrorMemoryAllocation = 2
    cudaErrorInsufficientDriver = 35


class Handle(int):
    """A stream or a graph: int() gives its address, as of the bindings' own."""


class FakeCudart:
    """cuda.bindings.runtime.

    Attributes:
        failing: names of the calls that fail from now on.
        calls: how often each was called.
        live: what has been handed out and not been freed, by address, with its kind.
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
        self._numbers = itertools.count(1)

    def _answer(self, name: str, work: Callable[[], Any]) -> tuple[Any, ...]:
        self.calls[name] += 1
        if name in self.failing:
            return (Error.cudaErrorMemoryAllocation, None)
        value = work()
        return (Error.cudaSuccess,) if value is None else (Error.cudaSuccess, value)

    def _take(self, kind: str, thing: Any, address: int | None = None) -> Handle:
        handle = Handle(next(self._numbers) if address is None else address)
        self.live[handle] = (kind, thing)
        return handle

    def _free(self, kind: str, handle: int) -> None:
        assert self.live.pop(handle)[0] == kind, "freed as another kind"

    def _allocate(self, kind: str, size: int) -> Handle:
        buffer = (ctypes.c_uint8 * size)()
        return self._take(kind, buffer, ctypes.addressof(buffer))

    def put(self, work: Callable[[], None]) -> None:
        """Onto the stream: into the graph that is recorded, or into the queue."""
        (self.queue if self.recording is None else self.recording).append(work)

    def cudaGetDeviceCount(self) -> tuple[Any, ...]:
        return self._answer("cudaGetDeviceCount", lambda: 1)

    def cudaGetDeviceProperties(self, device: int) -> tuple[Any, ...]:
        return self._answer("cudaGetDeviceProperties", lambda: SimpleNamespace(name=b"Fake Orin", major=8, minor=7))

    def cudaDriverGetVersion(self) -> tuple[Any, ...]:
        return self._answer("cudaDriverGetVersion", lambda: 12060)

    def cudaMalloc(self, size: int) -> tuple[Any, ...]:
        return self._answer("cudaMalloc", lambda: self._allocate("device", size))

    def cudaFree(self, devPtr: int) -> tuple[Any, ...]:
        return self._answer("cudaFree", lambda: self._free("device", devPtr))

    def cudaHostAlloc(self, size: int, flags: int) -> tuple[Any, ...]:
        return self._answer("cudaHostAlloc", lambda: self._allocate("host", size))

    def cudaFreeHost(self, ptr: int) -> tuple[Any, ...]:
        return self._answer("cudaFreeHost", lambda: self._free("host", ptr))

    def cudaStreamCreateWithFlags(self, flags: int) -> tuple[Any, ...]:
        return self._answer("cudaStreamCreateWithFlags", lambda: self._take("stream", None))

    def cudaStreamDestroy(self, stream: int) -> tuple[Any, ...]:
        return self._answer("cudaStreamDestroy", lambda: self._free("stream", stream))

    def cudaMemcpyAsync(self, dst: int, src: int, count: int, kind: int, stream: int) -> tuple[Any, ...]:
        assert self.live[stream][0] == "stream"
        down = kind == self.cudaMemcpyKind.cudaMemcpyDeviceToHost
        for address, wanted in ((dst, "host" if down else "device"), (src, "device" if down else "host")):
            found, buffer = self.live[address]
            assert found == wanted, "copied the wrong way"
            assert len(buffer) >= count, "copied beyond the end"
        return self._answer("cudaMemcpyAsync", lambda: self.put(lambda: ctypes.memmove(dst, src, count) and None))

    def cudaStreamSynchronize(self, stream: int) -> tuple[Any, ...]:
        def work() -> None:
            assert self.recording is None, "waiting is not allowed while a graph is recorded"
            for step in self.queue:
                step()
            self.queue.clear()

        return self._answer("cudaStreamSynchronize", work)

    def cudaStreamBeginCapture(self, stream: int, mode: int) -> tuple[Any, ...]:
        def work() -> None:
            assert self.recording is None
            self.recording = []

        return self._answer("cudaStreamBeginCapture", work)

    def cudaStreamEndCapture(self, stream: int) -> tuple[Any, ...]:
        recorded, self.recording = self.recording, None
        assert recorded is not None
        return self._answer("cudaStreamEndCapture", lambda: self._take("graph", recorded))

    def cudaGraphInstantiate(self, graph: int, flags: int) -> tuple[Any, ...]:
        return self._answer("cudaGraphInstantiate", lambda: self._take("ready", self.live[graph][1]))

    def cudaGraphDestroy(self, graph: int) -> tuple[Any, ...]:
        return self._answer("cudaGraphDestroy", lambda: self._free("graph", graph))

    def cudaGraphExecDestroy(self, graphExec: int) -> tuple[Any, ...]:
        return self._answer("cudaGraphExecDestroy", lambda: self._free("ready", graphExec))

    def cudaGraphLaunch(self, graphExec: int, stream: int) -> tuple[Any, ...]:
        return self._answer("cudaGraphLaunch", lambda: self.queue.extend(self.live[graphExec][1]))

    def cudaGetLastError(self) -> tuple[Any, ...]:
        return self._answer("cudaGetLastError", lambda: None)
