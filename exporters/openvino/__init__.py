"""From an ONNX graph to OpenVINO IR, and its quantization to INT8."""

from allweather.exporters.openvino.convert import read_onnx, serialize
from allweather.exporters.openvino.quantize import quantize_openvino, quantize_with_accuracy

__all__ = ["quantize_openvino", "quantize_with_accuracy", "read_onnx", "serialize"]
