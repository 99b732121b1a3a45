"""The names that arguments, options and files choose from. Importing them loads no library, so that help is quick."""

from __future__ import annotations

from typing import Literal

EngineName = Literal["openvino", "onnx", "tensorrt"]  # the engines that a bundle's models are made for
Precision = Literal["fp32", "bf16", "fp16", "int8"]  # arithmetic of an exported model
Role = Literal["classifier", "predictor", "large"]
CropKind = Literal["center", "squash"]  # how an image of another aspect ratio is brought to that of the model
STDOUT = "-"  # as the name of a file to write
ROTATED = ".1"  # ends the name of a log that is full
TensorRTVariant = Literal["tensorrt", "tensorrt_rtx"]  # libraries that build engines on the device
MAX_THREADS = 2**31 - 1  # that the engines' libraries can be given
