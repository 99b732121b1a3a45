"""From a checkpoint or a foreign ONNX file to a bundle: compiles for each engine, checks the parity, writes the files.

Each public object is imported when it is first used, because `exporters.tensorrt` and `exporters.serving` run on
devices without torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from allweather.runtimes.system.lazy_names import lazy_names

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
__getattr__, __dir__ = lazy_names(__name__, _MODULES)
