"""A network on OpenVINO: one picture as soon as it can be, several side by side."""

from __future__ import annotations

import hashlib
import io
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np

from allweather.runtimes.engines.openvino_cache import cached_blob
from allweather.runtimes.engines.registry import CompiledModel
from allweather.runtimes.errors import DependencyError, EngineError, printable
from allweather.runtimes.system.device import this_device
from allweather.runtimes.types import Floats, Image

if TYPE_CHECKING:
    import openvino

STREAMS = 2  # pictures side by side, each on half the cores: 5 % sooner than one after the other on all (ResNet-50)
DRIVERS = {
    "GPU": "an Intel GPU and its driver are needed (on Ubuntu: apt install intel-opencl-icd)",
    "NPU": "an Intel Core Ultra and its driver are needed (linux-npu-driver, released by Intel)",
}


def probe_device(device: str) -> str:
    """The version of OpenVINO.

    Args:
        device: "CPU", "GPU" or "NPU".

    Raises:
        DependencyError: it is not installed, does not load, or sees no such device.
    """
    name = "openvino" if device == "CPU" else f"openvino_{device.lower()}"
    try:
        import openvino
    except ImportError as error:
        raise DependencyError(f"{name}: {error}; pip install 'allweather[openvino]'") from error
    if device != "CPU":
        seen = openvino.Core().available_devices
        if not any(each.split(".")[0] == device for each in seen):
            raise DependencyError(f"{name}: OpenVINO sees only {', '.join(seen)} here; {DRIVERS[device]}")
    return str(openvino.__version__).split("-")[0]


class OpenvinoEngine:
    """Runs IR compiled for one picture, twice: for latency, and for several pictures side by side.

    A batch is no faster than its pictures one after the other, and its compiled network is one more for each size;
    side by side on halves of the processor they are. Arithmetic that is not INT8 is fp32 unless the model is said to be
    bf16 (on a CPU with AMX OpenVINO would take bf16 of its own accord, and answer otherwise).

    Args:
        network: OpenVINO IR.
        device: "CPU", "GPU" or "NPU".
    """

    def __init__(self, network: CompiledModel, device: str) -> None:
        import openvino

        if not network.graph.startswith(b"<?xml"):  # it also reads ONNX, and with that any file ONNX names
            raise EngineError("openvino refuses the model: it is no OpenVINO IR; export it again")
        self._core = openvino.Core()
        self._network, self._device, self._openvino = network, device, openvino
        self._streams = STREAMS if (network.threads or this_device().cores) > 1 else 1
        self._one = self._compiled("LATENCY").create_infer_request()
        # the request's own memory, of a fixed shape: handing it an array anew each time costs 0.3 ms
        self._picture, self._answer = self._one.get_input_tensor().data, self._one.get_output_tensor().data
        self._side_by_side: openvino.AsyncInferQueue | None = None

    def infer(self, images: Image) -> Floats:
        """See `Engine.infer`."""
        images = np.ascontiguousarray(images)
        answers = np.empty((len(images), self._network.outputs), np.float32)
        # what does not fill all streams is sooner done by all cores
        together = len(images) - len(images) % self._streams if self._streams > 1 else 0
        try:
            if images.shape[1:] != self._picture.shape[1:] or images.dtype != np.uint8:  # numpy would stretch some
                raise ValueError(f"wanted uint8 {list(self._picture.shape[1:])}")
            if together:
                self._run_together(images[:together], answers)
            for place in range(together, len(images)):
                self._picture[0] = images[place]
                self._one.infer()
                answers[place] = self._answer[0]
        except (RuntimeError, ValueError) as error:
            self._side_by_side = None  # a request that failed is never free again, and the next call would wait for it
            raise EngineError(f"openvino failed on a batch of shape {list(images.shape)}: {_line(error)}") from error
        return answers

    def close(self) -> None:
        """See `Engine.close`."""
        self._one = self._side_by_side = self._picture = self._answer = None

    def _run_together(self, images: Image, answers: Floats) -> None:
        if self._side_by_side is None:
            self._side_by_side = self._openvino.AsyncInferQueue(self._compiled("THROUGHPUT"), self._streams)
        queue = self._side_by_side
        faults: list[Exception] = []

        def keep(request: openvino.InferRequest, place: int) -> None:
            try:
                answers[place] = request.get_output_tensor(0).data
            except ValueError as error:  # raised here it would end in a thread of OpenVINO's
                faults.append(error)

        queue.set_callback(keep)
        for place in range(len(images)):
            queue.start_async([images[place : place + 1]], place, share_inputs=True)
        queue.wait_all()
        if faults:
            raise faults[0]

    def _compiled(self, hint: str) -> openvino.CompiledModel:
        spec, network = self._network.input, self._network
        options: dict[str, str | int] = {
            "PERFORMANCE_HINT": hint,
            "INFERENCE_PRECISION_HINT": "bf16" if network.precision == "bf16" else "f32",
        }
        if hint == "THROUGHPUT":
            options["NUM_STREAMS"] = self._streams
        if network.threads and self._device == "CPU":
            options["INFERENCE_NUM_THREADS"] = network.threads

        new: list[openvino.CompiledModel] = []

        def compile_now() -> bytes:
            model = self._core.read_model(network.graph, network.weights)
            model.reshape([1, spec.height, spec.width, 3])
            new.append(self._core.compile_model(model, self._device, options))
            blob: bytes = new[0].export_model().getvalue()
            return blob

        content = hashlib.sha256(network.graph + network.weights).hexdigest()
        name = self._core.get_property(self._device, "FULL_DEVICE_NAME")
        parts = (content, sorted(options.items()), self._openvino.__version__, self._device, name, this_device().line())
        try:
            blob = cached_blob(parts, compile_now)
            if not new:
                with suppress(RuntimeError):  # whole, but not to a device's liking: its driver is another now
                    return self._core.import_model(io.BytesIO(blob), self._device, options)
                cached_blob(parts, compile_now, refused=True)
            return new[0]
        except RuntimeError as error:
            raise EngineError(f"openvino refuses the model: {_line(error)}; export it again") from error


def _line(error: Exception) -> str:
    """OpenVINO's texts run over many lines; the last one names the cause."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return printable((lines[-1] if lines else type(error).__name__)[:200])
