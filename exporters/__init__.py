"""From a checkpoint or a foreign ONNX file to a bundle: compiles for each engine, checks the parity, writes the files.

Each public object is imported when it is first used, because `exporters.tensorrt` and `exporters.serving` run on
devices without torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from allweather.exporters.addition import add_to_bundle as add_to_bundle
    from allweather.exporters.calibration import CalibrationSet as CalibrationSet
    from allweather.exporters.calibration import calibration_set as calibration_set
    from allweather.exporters.checkpoint_export import ExportOptions as ExportOptions
    from allweather.exporters.checkpoint_export import export as export
    from allweather.exporters.checkpoint_jobs import export_jobs as export_jobs
    from allweather.exporters.foreign.import_model import export_onnx as export_onnx
    from allweather.exporters.job import ExportJob as ExportJob
    from allweather.exporters.parity import ModelOutputs as ModelOutputs
    from allweather.exporters.parity import ParityResult as ParityResult
    from allweather.exporters.parity import check_parity as check_parity

_MODULES = {
    "CalibrationSet": "calibration",
    "ExportJob": "job",
    "ExportOptions": "checkpoint_export",
    "ModelOutputs": "parity",
    "ParityResult": "parity",
    "add_to_bundle": "addition",
    "calibration_set": "calibration",
    "check_parity": "parity",
    "export": "checkpoint_export",
    "export_onnx": "foreign.import_model",
    "export_jobs": "checkpoint_jobs",
}

__all__ = [*sorted(_MODULES)]


def __getattr__(name: str) -> Any:
    """Imports a public object on its first use."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(sorted(_MODULES))}")
    value = getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public objects, for completion."""
    return sorted(_MODULES)
