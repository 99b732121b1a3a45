"""From an ONNX graph to OpenVINO IR."""

from __future__ import annotations

import io
from pathlib import Path
from tempfile import TemporaryDirectory

import openvino

from allweather.runtimes.errors import EngineError


def read_onnx(graph: bytes) -> openvino.Model:
    """Converts a graph; the batch size stays dynamic.

    Raises:
        EngineError: OpenVINO has no equal of one of its operations.
    """
    try:
        return openvino.Core().read_model(io.BytesIO(graph))
    except RuntimeError as error:
        raise EngineError(f"OpenVINO cannot read the ONNX graph: {str(error).strip()[:200]}") from error


def computes_bf16() -> bool:
    """Whether this processor has instructions for bf16, without which OpenVINO computes in fp32 and says nothing."""
    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def serialize(model: openvino.Model) -> tuple[bytes, bytes]:
    """The IR of a model: (xml, bin)."""
    with TemporaryDirectory() as folder:  # OpenVINO serializes to files only
        xml, weights = Path(folder, "model.xml"), Path(folder, "model.bin")
        openvino.serialize(model, xml, weights)
        return xml.read_bytes(), weights.read_bytes()
