"""Model repositories for Triton Inference Server and OpenVINO Model Server."""
