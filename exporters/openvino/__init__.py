"""OpenVINO: from an ONNX graph to IR, and its quantization to INT8."""
