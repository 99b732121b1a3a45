"""The names that arguments and options choose from. Importing them loads no library, so that help is quick."""

from __future__ import annotations

from typing import Literal

ServerLayout = Literal["triton", "ovms"]  # Triton Inference Server, OpenVINO Model Server
