"""TensorRT: builds engines on the device that will run them."""
