"""Lint: finds what keeps TensorRT from running an ONNX graph in INT8."""
