"""The values that some arguments and options accept. Importing them loads no library, so that --help stays fast."""

from __future__ import annotations

from typing import Literal

ServerLayout = Literal["triton", "ovms"]  # Triton Inference Server, OpenVINO Model Server
InputLayout = Literal["nchw", "nhwc"]  # of a model's input: [n, 3, h, w] or [n, h, w, 3]
ColorOrder = Literal["rgb", "bgr"]
