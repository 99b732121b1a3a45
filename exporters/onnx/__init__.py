"""From a torch model to an ONNX graph, and its quantization to INT8."""

from allweather.exporters.onnx.convert import DeployedModel, to_onnx
from allweather.exporters.onnx.quantize import quantize_onnx

__all__ = ["DeployedModel", "quantize_onnx", "to_onnx"]
