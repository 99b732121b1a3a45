"""ONNX Runtime on the CPU."""

from __future__ import annotations

import re

import numpy as np

from allweather.runtimes.engines.base import CompiledModel, Engine
from allweather.runtimes.engines.library import import_library
from allweather.runtimes.engines.registry import install_command
from allweather.runtimes.errors import EngineError, first_line
from allweather.runtimes.system.isolated_imports import isolated_imports
from allweather.runtimes.system.shortage import with_cure
from allweather.runtimes.types import Floats, Image

SEVERITY_FATAL = 4  # log level of ONNX Runtime that prints nothing
SEVERITY_ERROR = 3  # log level of ONNX Runtime; by default it also warns that there is no GPU

# A tensor whose data lies in another file has an entry with the key "location", which follows its length of 8 as one
# byte (or the end of a longer encoding of 8). ONNX Runtime would read that file from the working directory.
_EXTERNAL_DATA = re.compile(rb"[\x08\x00]location")


def probe(device: str) -> str:
    """Returns the version of ONNX Runtime.

    Raises:
        DependencyError: It is not installed, or does not load.
    """
    onnxruntime = import_library("onnxruntime", "onnx", install_command("onnx"), needed="InferenceSession")
    return str(onnxruntime.__version__)


def start(model: CompiledModel, device: str) -> Engine:
    """Loads an ONNX model; it runs any batch size.

    Raises:
        DependencyError: ONNX Runtime is not installed.
        EngineError: ONNX Runtime cannot load the model.
    """
    probe(device)
    return OnnxEngine(model)


class OnnxEngine:
    """Runs an ONNX graph in one session of ONNX Runtime.

    Args:
        model: The ONNX model to run.
        literally: Compute the graph node by node as it is written, without ONNX Runtime's optimizations, which round
            Q/DQ graphs differently. This is slower. It does not hold for fp16: on a CPU, ONNX Runtime computes in fp32
            between the nodes.

    Raises:
        EngineError: ONNX Runtime cannot load the model.
    """

    def __init__(self, model: CompiledModel, *, literally: bool = False) -> None:
        with isolated_imports():
            import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = SEVERITY_ERROR
        options.intra_op_num_threads = model.threads or 0
        if literally:
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.add_session_config_entry("session.load_model_format", "ONNX")  # otherwise ONNX Runtime guesses it
        if _EXTERNAL_DATA.search(model.graph):
            raise EngineError("onnx: the model keeps weights in another file, outside its bundle; export it again")
        try:
            self._session = onnxruntime.InferenceSession(model.graph, options, providers=["CPUExecutionProvider"])
        except onnxruntime_errors() as error:
            raise EngineError(f"onnx cannot load the model: {with_cure(error, 'export it again')}") from error
        if len(self._session.get_inputs()) != 1 or len(self._session.get_outputs()) != 1:
            raise EngineError("onnx: the model must have one input and one output; export it again")
        self._input = self._session.get_inputs()[0].name
        self._run_options = onnxruntime.RunOptions()
        self._run_options.log_severity_level = SEVERITY_FATAL  # a call that fails raises, and need not also print

    def infer(self, images: Image) -> Floats:
        """See `Engine.infer`."""
        try:
            (logits,) = self._session.run(None, {self._input: np.ascontiguousarray(images)}, self._run_options)
            return np.asarray(logits, np.float32)
        except onnxruntime_errors() as error:
            raise EngineError(f"onnx failed on a batch of shape {list(images.shape)}: {first_line(error)}") from error

    def interrupt(self) -> None:
        """See `Interruptible.interrupt`."""
        self._run_options.terminate = True

    def close(self) -> None:
        """See `Engine.close`."""
        self._session = None


def onnxruntime_errors() -> tuple[type[Exception], ...]:
    """Returns the classes of ONNX Runtime's errors, from its module: they share no base class but Exception."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    kinds = (kind for kind in vars(state).values() if isinstance(kind, type))
    return (*(kind for kind in kinds if issubclass(kind, Exception)), RuntimeError, ValueError, MemoryError)
