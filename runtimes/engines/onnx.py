"""ONNX Runtime on the CPU."""

from __future__ import annotations

import re

import numpy as np

from allweather.runtimes.engines.registry import CompiledModel, Engine
from allweather.runtimes.errors import DependencyError, EngineError, first_line
from allweather.runtimes.types import Floats, Image

SEVERITY_ERROR = 3  # of ONNX Runtime's log: without it, it warns about GPUs that are not there

# A tensor in another file has an entry with the key "location", after its length of 8 bytes (or the end of a longer
# way to write 8). ONNX Runtime would read such a file from the working directory.
_ELSEWHERE = re.compile(rb"[\x08\x00]location")


def probe() -> str:
    """The version of ONNX Runtime.

    Raises:
        DependencyError: it is not installed, or does not load.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise DependencyError(f"onnx: {error}; pip install 'allweather[onnx]'") from error
    return str(onnxruntime.__version__)


def start(network: CompiledModel) -> Engine:
    """Compiles a network; it takes any batch size.

    Raises:
        DependencyError: ONNX Runtime is not installed.
        EngineError: ONNX Runtime refuses the network.
    """
    probe()
    return OnnxEngine(network)


class OnnxEngine:
    """Runs an ONNX graph through one session.

    Args:
        network: to run.
        literally: compute node for node what the graph says, without ONNX Runtime's optimizations, which round
            Q/DQ graphs otherwise; slower. But fp16: between its nodes ONNX Runtime goes on in fp32 on a CPU.
    """

    def __init__(self, network: CompiledModel, *, literally: bool = False) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = SEVERITY_ERROR
        options.intra_op_num_threads = network.threads or 0
        if literally:
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.add_session_config_entry("session.load_model_format", "ONNX")  # not whatever the bytes look like
        if _ELSEWHERE.search(network.graph):
            raise EngineError("onnx: the model keeps weights in another file, outside its bundle; export it again")
        try:
            self._session = onnxruntime.InferenceSession(network.graph, options, providers=["CPUExecutionProvider"])
        except _faults() as error:
            raise EngineError(f"onnx refuses the model: {first_line(error)}; export it again") from error
        if len(self._session.get_inputs()) != 1 or len(self._session.get_outputs()) != 1:
            raise EngineError("onnx: the model has not one input and one output; export it again")
        self._input = self._session.get_inputs()[0].name

    def infer(self, images: Image) -> Floats:
        """See `Engine.infer`."""
        try:
            (logits,) = self._session.run(None, {self._input: np.ascontiguousarray(images)})
            return np.asarray(logits, np.float32)
        except _faults() as error:
            raise EngineError(f"onnx failed on a batch of shape {list(images.shape)}: {first_line(error)}") from error

    def close(self) -> None:
        """See `Engine.close`."""
        self._session = None


def _faults() -> tuple[type[Exception], ...]:
    """ONNX Runtime's own errors; they share no base class but Exception, so they are gathered by name."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    kinds = (kind for kind in vars(state).values() if isinstance(kind, type))
    return (*(kind for kind in kinds if issubclass(kind, Exception)), RuntimeError, ValueError)
