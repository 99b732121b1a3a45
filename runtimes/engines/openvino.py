"""Intel OpenVINO on a CPU, GPU or NPU: one image with the lowest latency, several images in parallel streams."""

from __future__ import annotations

import hashlib
import io
import math
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np

from allweather.runtimes.engines.base import CompiledModel, Engine
from allweather.runtimes.engines.library import import_library
from allweather.runtimes.engines.openvino_cache import cached_blob
from allweather.runtimes.engines.openvino_core import last_line, openvino_core
from allweather.runtimes.engines.registry import install_command
from allweather.runtimes.errors import DependencyError, EngineError
from allweather.runtimes.system.device import this_device
from allweather.runtimes.system.isolated_imports import isolated_imports
from allweather.runtimes.system.shortage import with_cure
from allweather.runtimes.types import Floats, Image

if TYPE_CHECKING:
    import openvino

# Images that run in parallel, each on half of the cores. ResNet-50 finishes 5 % earlier than with one image after the
# other on all cores.
STREAMS = 2
DRIVERS = {
    "GPU": "an Intel GPU and its driver are needed (on Ubuntu: apt install intel-opencl-icd)",
    "NPU": "an Intel Core Ultra and its driver are needed (linux-npu-driver, released by Intel)",
}


def probe(device: str) -> str:
    """Returns the version of OpenVINO.

    Args:
        device: "CPU", "GPU" or "NPU".

    Raises:
        DependencyError: OpenVINO is not installed, does not load, or finds no such device.
    """
    name = "openvino" if device == "CPU" else f"openvino_{device.lower()}"
    openvino = import_library("openvino", name, install_command(name), needed="Core")
    try:
        core = openvino_core()  # what is half installed can be imported, but finds no plugins
    except DependencyError as error:
        raise DependencyError(f"{name}: {error}") from error
    if device != "CPU":
        try:
            available = core.available_devices
        except (RuntimeError, MemoryError) as error:
            raise DependencyError(f"{name}: {with_cure(error, DRIVERS[device], last_line(error))}") from error
        if not any(each.split(".")[0] == device for each in available):
            raise DependencyError(f"{name}: OpenVINO finds only {', '.join(available)} here; {DRIVERS[device]}")
    return str(openvino.__version__).split("-")[0]


def start(model: CompiledModel, device: str) -> Engine:
    """Compiles OpenVINO IR for a device, or takes it from the cache of compiled models.

    Args:
        model: OpenVINO IR.
        device: "CPU", "GPU" or "NPU".

    Raises:
        DependencyError: OpenVINO is not installed, or finds no such device.
        EngineError: OpenVINO cannot load the model.
    """
    probe(device)
    return OpenvinoEngine(model, device)


class OpenvinoEngine:
    """Runs OpenVINO IR, compiled for batches of one image with the hint LATENCY, and later also THROUGHPUT.

    A batch of n images is no faster than n calls with one image, and each batch size would have to be compiled. Two
    images in parallel streams, each on half of the cores, are faster. Arithmetic that is not INT8 is fp32 unless the
    model is bf16: on a CPU with AMX, OpenVINO would choose bf16 by itself, and its outputs would differ.

    Args:
        model: OpenVINO IR.
        device: "CPU", "GPU" or "NPU".

    Raises:
        EngineError: OpenVINO cannot load the model.
    """

    def __init__(self, model: CompiledModel, device: str) -> None:
        with isolated_imports():
            import openvino

        if not model.graph.startswith(b"<?xml"):  # OpenVINO also reads ONNX, and with it any file that ONNX names
            raise EngineError("openvino cannot load the model: it is not OpenVINO IR; export it again")
        self._model, self._device, self._openvino = model, device, openvino
        self._streams = STREAMS if (model.threads or this_device().cores) > 1 else 1
        try:
            self._core = openvino_core()
            self._request = _Request(self._compile("LATENCY"))
        except (RuntimeError, MemoryError) as error:
            raise EngineError(
                f"openvino cannot load the model: {with_cure(error, 'export it again', last_line(error))}"
            ) from error
        self._parallel: list[_Request] = []  # one for each stream, once there was a batch

    def infer(self, images: Image) -> Floats:
        """See `Engine.infer`."""
        return self._infer(images, math.inf)

    def infer_within(self, images: Image, seconds: float) -> Floats:
        """See `TimeLimited.infer_within`."""
        return self._infer(images, seconds)

    def _infer(self, images: Image, seconds: float) -> Floats:
        logits = np.empty((len(images), self._model.outputs), np.float32)
        # A last image that does not fill all streams is finished earlier on all cores.
        in_streams = len(images) - len(images) % self._streams if self._streams > 1 else 0
        end = time.monotonic() + seconds
        try:
            # numpy would broadcast some of the other shapes
            if images.shape[1:] != self._request.shape or images.dtype != np.uint8:
                raise ValueError(f"expected uint8 {list(self._request.shape)}")
            if in_streams:
                self._infer_in_streams(images[:in_streams], logits, end)
            for index in range(in_streams, len(images)):
                logits[index] = self._request.run(images[index], end)
        except (RuntimeError, ValueError, MemoryError) as error:
            raise EngineError(
                f"openvino failed on a batch of shape {list(images.shape)}: {last_line(error)}"
            ) from error
        return logits

    def interrupt(self) -> None:
        """See `Interruptible.interrupt`."""
        for request in (self._request, *self._parallel):
            request.cancel()

    def close(self) -> None:
        """See `Engine.close`."""
        for request in (self._request, *self._parallel):
            request.close()

    def _infer_in_streams(self, images: Image, logits: Floats, end: float) -> None:
        """Runs images in parallel streams, and writes their outputs to the first rows of `logits`."""
        if not self._parallel:
            compiled = self._compile("THROUGHPUT")
            self._parallel = [_Request(compiled) for _ in range(self._streams)]
        for index in range(len(images) + self._streams):
            request, earlier = self._parallel[index % self._streams], index - self._streams
            if earlier >= 0:
                logits[earlier] = request.finish(end)
            if index < len(images):
                request.start(images[index], end)

    def _compile(self, hint: str) -> openvino.CompiledModel:
        """Returns the model compiled for a performance hint, from the cache if it is there."""
        spec, model = self._model.input, self._model
        options: dict[str, str | int] = {
            "PERFORMANCE_HINT": hint,
            "INFERENCE_PRECISION_HINT": "bf16" if model.precision == "bf16" else "f32",
        }
        if hint == "THROUGHPUT":
            options["NUM_STREAMS"] = self._streams
        if model.threads and self._device == "CPU":
            options["INFERENCE_NUM_THREADS"] = model.threads

        compiled: list[openvino.CompiledModel] = []

        def compile_now() -> bytes:
            loaded = self._core.read_model(model.graph, model.weights)
            loaded.reshape([1, spec.height, spec.width, 3])
            compiled.append(self._core.compile_model(loaded, self._device, options))
            blob: bytes = compiled[0].export_model().getvalue()
            return blob

        content = hashlib.sha256(model.graph + model.weights).hexdigest()
        name = self._core.get_property(self._device, "FULL_DEVICE_NAME")
        parts = (content, sorted(options.items()), self._openvino.__version__, self._device, name, this_device().line())
        blob = cached_blob(parts, compile_now)
        if not compiled:
            with suppress(RuntimeError):  # the device rejects an undamaged blob if its driver has changed
                return self._core.import_model(io.BytesIO(blob), self._device, options)
            cached_blob(parts, compile_now, replace=True)
        return compiled[0]


class _Request:
    """A request for the logits of one image, with memory of its own.

    Args:
        compiled: A compiled model for batches of one image.

    Attributes:
        shape: Shape of the images that it takes.
    """

    def __init__(self, compiled: openvino.CompiledModel) -> None:
        self._request = compiled.create_infer_request()
        # The request's own memory, of a fixed shape: passing a new array with each call costs 0.3 ms.
        self._image = self._request.get_input_tensor().data
        self._logits = self._request.get_output_tensor().data
        self._runs = False
        self.shape: tuple[int, ...] = self._image.shape[1:]

    def run(self, image: Image, end: float) -> Floats:
        """Returns the logits of an image, which are overwritten by the next one.

        Args:
            image: uint8 [h, w, 3].
            end: When to give up, in monotonic seconds; infinity for never.

        Raises:
            RuntimeError: OpenVINO failed.
            TimeoutError: It has not finished.
        """
        if math.isfinite(end):
            self.start(image, end)
            return self.finish(end)
        self._drain(end)
        self._image[0] = image
        self._request.infer()  # in this thread
        logits: Floats = self._logits[0]
        return logits

    def start(self, image: Image, end: float) -> None:
        """Starts with an image, in a thread of OpenVINO; `finish` has its logits. See `run`."""
        self._drain(end)
        self._image[0] = image
        self._runs = True  # before it does, as Ctrl-C may come in between
        try:
            self._request.start_async()
        except RuntimeError:
            self._runs = False
            raise

    def finish(self, end: float) -> Floats:
        """Returns the logits of the image that was started. See `run`."""
        if math.isinf(end):
            self._request.wait()
        elif not self._request.wait_for(max(0, math.ceil(1000 * (end - time.monotonic())))):
            raise TimeoutError
        self._runs = False
        logits: Floats = self._logits[0]
        return logits

    def cancel(self) -> None:
        """Ends what runs, if OpenVINO can."""
        if request := self._request:  # another thread may close it now
            with suppress(RuntimeError):  # it is not running
                request.cancel()

    def close(self) -> None:
        """Frees the request. One that hangs is left to a thread, as OpenVINO waits for its end before it frees it."""
        if self._runs:
            threading.Thread(target=_wait, args=[self._request], name="request that hangs", daemon=True).start()
        self._request = self._image = self._logits = None

    def _drain(self, end: float) -> None:
        """Waits for an image that was started and not finished, as the caller was interrupted."""
        if self._runs:
            with suppress(RuntimeError):
                self.finish(end)
            self._runs = False


def _wait(request: openvino.InferRequest) -> None:
    """Waits for the end of a request."""
    with suppress(RuntimeError):
        request.wait()
