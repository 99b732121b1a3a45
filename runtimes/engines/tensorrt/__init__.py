"""NVIDIA TensorRT: its library, CUDA, the engines built on this device, and a session that runs one."""
