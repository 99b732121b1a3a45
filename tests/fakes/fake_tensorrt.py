"""TensorRT without a GPU: classes with the signatures of the real ones, and the color network computed in numpy."""

from __future__ import annotations

import enum
import json
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import onnx
from fake_cuda import FakeCudart


class FakeModule(ModuleType):
    """A module that holds the given names."""

    def __init__(self, **names: Any) -> None:
        super().__init__("tensorrt")
        vars(self).update(names)


def fake_library(cudart: FakeCudart, version: str = "10.3.0", *, refuses: str = "", monitored: bool = True) -> Any:
    """Returns a module tensorrt of a version.

    Args:
        cudart: The fake CUDA whose memory it uses.
        version: Version of the library, in three or four parts.
        refuses: What fails: "runtime", "engine", "context", "shape", "execute", "builder", "build", "typed"; "" for
            nothing.
        monitored: Whether this version has progress monitors.
    """

    class ILogger:
        Severity = enum.IntEnum("Severity", {"INTERNAL_ERROR": 0, "ERROR": 1, "WARNING": 2, "INFO": 3, "VERBOSE": 4})

        def log(self, severity: Any, msg: str) -> None:
            raise NotImplementedError

    class IProgressMonitor:
        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None: ...

        def step_complete(self, phase_name: str, step: int) -> bool: ...

        def phase_finish(self, phase_name: str) -> None: ...

    class IExecutionContext:
        def __init__(self, body: Any) -> None:
            self._body, self._addresses, self._count = body, {}, 0

        def set_device_memory(self, memory: int, size: int) -> None:
            assert cudart.live[memory][0] == "device"
            assert len(cudart.live[memory][1]) >= size

        def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
            self._count = shape[0]
            fits = name == "images" and 1 <= shape[0] <= self._body["largest"]
            return fits and list(shape[1:]) == self._body["shape"] and refuses != "shape"

        def set_tensor_address(self, name: str, memory: int) -> bool:
            assert cudart.live[memory][0] == "device"
            self._addresses[name] = memory
            return name in ("images", "logits")

        def execute_async_v3(self, stream_handle: int) -> bool:
            assert cudart.live[stream_handle][0] == "stream"
            if refuses == "execute":
                return False
            cudart.put(self._compute)
            return True

        def _compute(self) -> None:
            matrix = np.array(self._body["matrix"])
            shape = (self._count, *self._body["shape"])
            images = np.frombuffer(cudart.live[self._addresses["images"]][1], np.uint8)[: int(np.prod(shape))]
            logits = images.reshape(shape).astype(np.float64).mean(axis=(1, 2)) @ matrix
            out = np.frombuffer(cudart.live[self._addresses["logits"]][1], np.float32)
            out[: logits.size] = logits.ravel()

    class ICudaEngine:
        num_io_tensors = 2

        def __init__(self, body: Any) -> None:
            self._body, self.device_memory_size_v2 = body, 1024

        def get_tensor_name(self, index: int) -> str:
            return ("images", "logits")[index]

        def get_tensor_mode(self, name: str) -> Any:
            return trt.TensorIOMode.INPUT if name == "images" else trt.TensorIOMode.OUTPUT

        def get_tensor_dtype(self, name: str) -> Any:
            return trt.DataType.UINT8 if name == "images" else trt.DataType.FLOAT

        def get_tensor_shape(self, name: str) -> tuple[int, ...]:
            return (-1, *self._body["shape"]) if name == "images" else (-1, len(self._body["matrix"][0]))

        def get_tensor_profile_shape(self, name: str, profile_index: int) -> list[tuple[int, ...]]:
            assert profile_index == 0
            return [(count, *self._body["shape"]) for count in (1, 1, self._body["largest"])]

        def create_execution_context(self, strategy: Any) -> Any:
            assert strategy == trt.ExecutionContextAllocationStrategy.USER_MANAGED
            return None if refuses == "context" else IExecutionContext(self._body)

    class Runtime:
        def __init__(self, logger: Any) -> None:
            self._logger = logger
            if refuses == "runtime":
                raise TypeError("pybind11::init(): factory function returned nullptr")

        def deserialize_cuda_engine(self, serialized_engine: bytes) -> Any:
            if refuses == "engine":
                self._logger.log(ILogger.Severity.ERROR, "Error Code 6:\nof another device")
                return None
            return ICudaEngine(json.loads(serialized_engine[28:]))

    return _with_builder(version, refuses, monitored, trt := FakeModule(
        __version__=version, ILogger=ILogger, IProgressMonitor=IProgressMonitor, Runtime=Runtime,
        ICudaEngine=ICudaEngine, IExecutionContext=IExecutionContext,
        TensorIOMode=enum.Enum("TensorIOMode", "NONE INPUT OUTPUT"), DataType=enum.Enum("DataType", "FLOAT HALF UINT8"),
        ExecutionContextAllocationStrategy=enum.Enum("Strategy", "STATIC ON_PROFILE_CHANGE USER_MANAGED"),
    ))  # fmt: skip


def _with_builder(version: str, refuses: str, monitored: bool, trt: Any) -> Any:
    """Adds the classes that build engines."""

    class INetworkDefinition:
        num_inputs = num_outputs = 1

        def get_input(self, index: int) -> Any:
            return SimpleNamespace(name="images", shape=(-1, *self.body["shape"]))

    class IOptimizationProfile:
        def set_shape(self, input: str, min: Any, opt: Any, max: Any) -> None:  # noqa: A002 - their names
            assert input == "images"
            assert tuple(min) == tuple(opt) == (1, *max[1:])
            self.largest = max[0]

    class ITimingCache:
        def __init__(self, data: bytes) -> None:
            self.data = data

        def serialize(self) -> bytes:
            return self.data + b"+"

    class IBuilderConfig:
        progress_monitor: Any = None
        profiling_verbosity: Any = None

        def __init__(self) -> None:
            self.flags: list[Any] = []

        def set_memory_pool_limit(self, pool: Any, pool_size: int) -> None:
            assert pool_size > 0

        def add_optimization_profile(self, profile: Any) -> int:
            self.largest = profile.largest
            return 0

        def create_timing_cache(self, serialized_timing_cache: bytes) -> Any:
            return ITimingCache(serialized_timing_cache)

        def set_timing_cache(self, cache: Any, ignore_mismatch: bool) -> bool:
            assert not ignore_mismatch
            return cache.data != b"of another device"

        def set_flag(self, flag: Any) -> None:
            self.flags.append(flag)

    class OnnxParser:
        def __init__(self, network: Any, logger: Any) -> None:
            self._network, self.num_errors = network, 0

        def parse(self, model: bytes, path: str | None = None) -> bool:
            try:
                graph = onnx.load_from_string(model).graph
            except Exception:  # noqa: BLE001 - protobuf's errors have no base of their own
                self.num_errors = 1
                return False
            shape = [side.dim_value for side in graph.input[0].type.tensor_type.shape.dim][1:]
            self._network.body = {
                "shape": shape, "matrix": onnx.numpy_helper.to_array(graph.initializer[0]).tolist(),
            }  # fmt: skip
            return True

        def get_error(self, index: int) -> Any:
            assert index == 0
            return SimpleNamespace(node_name=lambda: "conv1", node_operator=lambda: "Conv", desc=lambda: "not\nthis")

    class Builder:
        def __init__(self, logger: Any) -> None:
            self._logger = logger
            if refuses == "builder":
                raise TypeError("pybind11::init(): factory function returned nullptr")

        def create_network(self, flags: int = 0) -> Any:
            network = INetworkDefinition()
            network.typed = bool(flags)
            return network

        def create_builder_config(self) -> Any:
            return IBuilderConfig()

        def create_optimization_profile(self) -> Any:
            return IOptimizationProfile()

        def build_serialized_network(self, network: Any, config: Any) -> bytes | None:
            if refuses == "build" or (refuses == "typed" and network.typed):
                self._logger.log(trt.ILogger.Severity.ERROR, "no tactic\nfor conv1")
                return None
            monitor = config.progress_monitor
            if monitor is not None:
                monitor.phase_start("Building engine", None, 4)
                for step in range(4):
                    if not monitor.step_complete("Building engine", step):
                        return None
                monitor.phase_finish("Building engine")
            parts = ([int(part) for part in version.split(".")] + [26])[:4]
            body = {**network.body, "largest": config.largest}
            return b"ftrt" + bytes(20) + bytes(parts) + json.dumps(body).encode()

    for kind in (
        INetworkDefinition, IOptimizationProfile, ITimingCache, IBuilderConfig, OnnxParser, Builder,
    ):  # fmt: skip
        setattr(trt, kind.__name__, kind)
    if not monitored:
        del trt.IProgressMonitor
    trt.NetworkDefinitionCreationFlag = enum.IntEnum("Flag", {"EXPLICIT_BATCH": 0, "STRONGLY_TYPED": 1})
    old = version.startswith("10.")
    trt.BuilderFlag = enum.Enum("BuilderFlag", "FP16 BF16 INT8 DEBUG" if old else "DEBUG")
    trt.MemoryPoolType = enum.Enum("MemoryPoolType", "WORKSPACE")
    trt.ProfilingVerbosity = enum.Enum("ProfilingVerbosity", "DETAILED")
    return trt
