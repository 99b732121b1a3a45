"""INT8 by post-training quantization with NNCF."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from types import ModuleType

import numpy as np
import numpy.typing as npt
import onnx
import openvino

from allweather.exporters.calibrate import CalibrationSet
from allweather.exporters.to_onnx import INPUT
from allweather.trainers.silence import silenced

QUIET = {"NNCF_CI": "1"}  # with it NNCF builds a stub for its telemetry: nothing is sent from a user's machine


def quantize_openvino(model: openvino.Model, calibration: CalibrationSet) -> openvino.Model:
    """INT8 weights and activations for OpenVINO; `model` itself is left as it is."""
    with _nncf() as nncf:
        data = nncf.Dataset([image[None] for image in calibration.images])
        quantized: openvino.Model = nncf.quantize(
            model, data, preset=nncf.QuantizationPreset.MIXED, subset_size=len(calibration.images)
        )
    return quantized


def quantize_onnx(graph: bytes, calibration: CalibrationSet) -> bytes:
    """INT8 weights and activations as QuantizeLinear / DequantizeLinear pairs."""

    def feed(image: npt.NDArray[np.uint8]) -> dict[str, npt.NDArray[np.uint8]]:
        return {INPUT: image[None]}

    with _nncf() as nncf:
        data = nncf.Dataset(list(calibration.images), feed)
        quantized = nncf.quantize(onnx.load_from_string(graph), data, subset_size=len(calibration.images))
    content: bytes = quantized.SerializeToString()
    return content


@contextmanager
def _nncf() -> Iterator[ModuleType]:
    """NNCF with its telemetry off and its progress bars and advice silenced; the environment is put back."""
    before = {key: os.environ.get(key) for key in QUIET}
    os.environ.update(QUIET)
    # its progress bars go to stdout, which belongs to the command's result
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            import nncf

            with silenced("nncf"):  # not nncf.set_log_level: that turns down the handlers of others as well
                yield nncf
        finally:
            for key, value in before.items():
                if value is None:
                    os.environ.pop(key)
                else:
                    os.environ[key] = value
