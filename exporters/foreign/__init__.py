"""Classifiers of other programs: reads ONNX files and OpenVINO IR, and makes bundles of them."""

from __future__ import annotations

from allweather.exporters.foreign.import_model import ForeignModel, export_foreign, export_onnx, open_foreign
from allweather.exporters.foreign.model_input import InputSettings, ModelInput
from allweather.exporters.foreign.read import read_onnx_file

__all__ = [
    "ForeignModel", "InputSettings", "ModelInput", "export_foreign", "export_onnx", "open_foreign", "read_onnx_file",
]  # fmt: skip
