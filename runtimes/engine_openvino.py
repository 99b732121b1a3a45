"""Intel OpenVINO on the CPU."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

import numpy as np

from allweather.runtimes.engine import Engine, Network
from allweather.runtimes.errors import DependencyError, EngineError, printable
from allweather.runtimes.frame import Floats, Image

if TYPE_CHECKING:
    import openvino

SHAPES_KEPT = 8  # compiled batch sizes; each holds its own copy of the plan, not of the weights


def probe() -> str:
    """The version of OpenVINO.

    Raises:
        DependencyError: it is not installed, or does not load.
    """
    try:
        import openvino
    except ImportError as error:
        raise DependencyError(f"openvino: {error}; pip install 'allweather[openvino]'") from error
    return str(openvino.__version__).split("-")[0]


def start(network: Network) -> Engine:
    """Compiles a network for one picture at a time; other batch sizes are compiled when they first come.

    Raises:
        DependencyError: OpenVINO is not installed.
        EngineError: OpenVINO refuses the network.
    """
    probe()
    return OpenvinoEngine(network)


class OpenvinoEngine:
    """Runs IR through one infer request for each batch size.

    A fixed batch size is compiled for each size, as a dynamic one costs OpenVINO its layout optimizations. Arithmetic
    that is not INT8 is fp32 unless the model is said to be bf16 (on a CPU with AMX OpenVINO would take bf16 of its own
    accord, and answer otherwise).
    """

    def __init__(self, network: Network) -> None:
        import openvino

        if not network.graph.startswith(b"<?xml"):  # it also reads ONNX, and with that any file ONNX names
            raise EngineError("openvino refuses the model: it is no OpenVINO IR; export it again")
        self._core = openvino.Core()
        self._network = network
        self._requests: OrderedDict[int, openvino.InferRequest] = OrderedDict()
        self._request(1)

    def run(self, images: Image) -> Floats:
        """See `Engine.run`."""
        request = self._request(len(images))
        try:
            request.infer([np.ascontiguousarray(images)], share_inputs=True)
            return np.array(request.get_output_tensor(0).data, np.float32)
        except RuntimeError as error:
            raise EngineError(f"openvino failed on a batch of shape {list(images.shape)}: {_line(error)}") from error

    def close(self) -> None:
        """See `Engine.close`."""
        self._requests.clear()

    def _request(self, count: int) -> openvino.InferRequest:
        found = self._requests.get(count)
        if found is not None:
            self._requests.move_to_end(count)
            return found
        spec = self._network.input
        try:
            model = self._core.read_model(self._network.graph, self._network.weights)
            model.reshape([count, spec.height, spec.width, 3])
            arithmetic = "bf16" if self._network.precision == "bf16" else "f32"
            hints: dict[str, str | int] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": arithmetic}
            if self._network.threads:
                hints["INFERENCE_NUM_THREADS"] = self._network.threads
            compiled = self._core.compile_model(model, "CPU", hints)
        except RuntimeError as error:
            raise EngineError(f"openvino refuses the model: {_line(error)}; export it again") from error
        self._requests[count] = compiled.create_infer_request()
        if len(self._requests) > SHAPES_KEPT:
            self._requests.popitem(last=False)
        return self._requests[count]


def _line(error: Exception) -> str:
    """OpenVINO's texts run over many lines; the last one names the cause."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return printable((lines[-1] if lines else type(error).__name__)[:200])
