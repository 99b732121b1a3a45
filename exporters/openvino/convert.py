"""From an ONNX graph to OpenVINO IR."""

from __future__ import annotations

import io
from pathlib import Path

from allweather.runtimes.engines.openvino_core import openvino_core
from allweather.runtimes.errors import EngineError, OutputError, first_line
from allweather.runtimes.system.isolated_imports import isolated_imports
from allweather.runtimes.system.leftovers import temporary_folder

with isolated_imports():
    import openvino


def read_onnx(graph: bytes) -> openvino.Model:
    """Converts an ONNX graph to an OpenVINO model; the batch size stays dynamic.

    Args:
        graph: Content of an .onnx file.

    Raises:
        EngineError: OpenVINO does not have one of its operations.
    """
    try:
        return openvino_core().read_model(io.BytesIO(graph))
    except RuntimeError as error:
        raise EngineError(f"OpenVINO cannot read the ONNX graph: {str(error).strip()[:200]}") from error


def cpu_supports_bf16() -> bool:
    """Whether this processor has bf16 instructions; without them OpenVINO silently computes in fp32."""
    return "BF16" in openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def serialize(model: openvino.Model) -> tuple[bytes, bytes]:
    """Returns the IR of a model: the contents of its .xml file and its .bin file.

    Raises:
        OutputError: Its temporary files cannot be written, as on a full disk.
    """
    with temporary_folder() as folder:  # OpenVINO serializes to files only
        xml, weights = Path(folder, "model.xml"), Path(folder, "model.bin")
        try:
            openvino.serialize(model, xml, weights)
        except RuntimeError as error:
            raise OutputError(
                f"cannot write the temporary files of an OpenVINO model in {folder.parent} ({first_line(error)}); free "
                "some space there, or name another folder in the environment variable TMPDIR"
            ) from error
        return xml.read_bytes(), weights.read_bytes()
