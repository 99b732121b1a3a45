"""ONNX: from a network to a graph, and its quantization to INT8."""
