"""allweather: image classification on edge cameras that holds up in bad weather and keeps its latency budget.

    perceiver = allweather.load("signs.aw", budget_ms=20)
    decision = perceiver(frame_rgb)

The names below are all public names. Each is imported when it is first used, so that `import allweather` takes next to
no time and never loads torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from allweather.runtimes.bundle.bundle import Bundle as Bundle
    from allweather.runtimes.bundle.bundle import ReplacedError as ReplacedError
    from allweather.runtimes.camera_health.states import CameraHealth as CameraHealth
    from allweather.runtimes.camera_health.tracker import CameraHealthTracker as CameraHealthTracker
    from allweather.runtimes.cameras.base import Camera as Camera
    from allweather.runtimes.cameras.base import CameraState as CameraState
    from allweather.runtimes.cameras.image_files.names import is_image_name as is_image_name
    from allweather.runtimes.cameras.image_files.read import read_image as read_image
    from allweather.runtimes.cameras.open import open_camera as open_camera
    from allweather.runtimes.connect import connect as connect
    from allweather.runtimes.crop import Crop as Crop
    from allweather.runtimes.engines.base import CompiledModel as CompiledModel
    from allweather.runtimes.engines.base import Engine as Engine
    from allweather.runtimes.engines.base import EngineSpec as EngineSpec
    from allweather.runtimes.errors import AllweatherError as AllweatherError
    from allweather.runtimes.errors import BundleError as BundleError
    from allweather.runtimes.errors import CameraError as CameraError
    from allweather.runtimes.errors import CheckpointError as CheckpointError
    from allweather.runtimes.errors import DataError as DataError
    from allweather.runtimes.errors import DependencyError as DependencyError
    from allweather.runtimes.errors import DetectorError as DetectorError
    from allweather.runtimes.errors import EngineError as EngineError
    from allweather.runtimes.errors import EngineTimeoutError as EngineTimeoutError
    from allweather.runtimes.errors import NotBuiltError as NotBuiltError
    from allweather.runtimes.errors import OutputError as OutputError
    from allweather.runtimes.errors import ParityError as ParityError
    from allweather.runtimes.errors import StalledError as StalledError
    from allweather.runtimes.errors import TrainingError as TrainingError
    from allweather.runtimes.errors import UsageError as UsageError
    from allweather.runtimes.load import load as load
    from allweather.runtimes.loop.watch import watch as watch
    from allweather.runtimes.perceiver import Perceiver as Perceiver
    from allweather.runtimes.preprocess import InputSpec as InputSpec
    from allweather.runtimes.realtime import realtime as realtime
    from allweather.runtimes.region import Region as Region
    from allweather.runtimes.sinks.base import Ended as Ended
    from allweather.runtimes.sinks.base import Sink as Sink
    from allweather.runtimes.sinks.callback import CallbackSink as CallbackSink
    from allweather.runtimes.sinks.event import Event as Event
    from allweather.runtimes.sinks.hard_frames.sink import HardFramesSink as HardFramesSink
    from allweather.runtimes.sinks.jsonl import JsonlSink as JsonlSink
    from allweather.runtimes.sinks.mqtt.sink import MqttSink as MqttSink
    from allweather.runtimes.sinks.table.sink import TableSink as TableSink
    from allweather.runtimes.sinks.video import VideoSink as VideoSink
    from allweather.runtimes.sinks.webhook.sink import WebhookSink as WebhookSink
    from allweather.runtimes.temporal import Smoother as Smoother
    from allweather.runtimes.temporal import Smoothing as Smoothing
    from allweather.runtimes.tta.policy import Policy as Policy
    from allweather.runtimes.tta.views import View as View
    from allweather.runtimes.tta.views import register_view as register_view
    from allweather.runtimes.types import Budget as Budget
    from allweather.runtimes.types import Decision as Decision
    from allweather.runtimes.types import Drops as Drops
    from allweather.runtimes.types import Frame as Frame
    from allweather.runtimes.types import Plan as Plan
    from allweather.runtimes.types import StageTimes as StageTimes

__version__ = "0.2.0"

_MODULES = {
    "AllweatherError": "allweather.runtimes.errors",
    "Budget": "allweather.runtimes.types",
    "Bundle": "allweather.runtimes.bundle.bundle",
    "BundleError": "allweather.runtimes.errors",
    "CallbackSink": "allweather.runtimes.sinks.callback",
    "Camera": "allweather.runtimes.cameras.base",
    "CameraError": "allweather.runtimes.errors",
    "CameraHealth": "allweather.runtimes.camera_health.states",
    "CameraHealthTracker": "allweather.runtimes.camera_health.tracker",
    "CameraState": "allweather.runtimes.cameras.base",
    "CheckpointError": "allweather.runtimes.errors",
    "CompiledModel": "allweather.runtimes.engines.base",
    "Crop": "allweather.runtimes.crop",
    "DataError": "allweather.runtimes.errors",
    "Decision": "allweather.runtimes.types",
    "DependencyError": "allweather.runtimes.errors",
    "DetectorError": "allweather.runtimes.errors",
    "Drops": "allweather.runtimes.types",
    "Ended": "allweather.runtimes.sinks.base",
    "Engine": "allweather.runtimes.engines.base",
    "EngineError": "allweather.runtimes.errors",
    "EngineSpec": "allweather.runtimes.engines.base",
    "EngineTimeoutError": "allweather.runtimes.errors",
    "Event": "allweather.runtimes.sinks.event",
    "Frame": "allweather.runtimes.types",
    "HardFramesSink": "allweather.runtimes.sinks.hard_frames.sink",
    "InputSpec": "allweather.runtimes.preprocess",
    "JsonlSink": "allweather.runtimes.sinks.jsonl",
    "MqttSink": "allweather.runtimes.sinks.mqtt.sink",
    "NotBuiltError": "allweather.runtimes.errors",
    "OutputError": "allweather.runtimes.errors",
    "ParityError": "allweather.runtimes.errors",
    "Perceiver": "allweather.runtimes.perceiver",
    "Plan": "allweather.runtimes.types",
    "Policy": "allweather.runtimes.tta.policy",
    "Region": "allweather.runtimes.region",
    "ReplacedError": "allweather.runtimes.bundle.bundle",
    "Sink": "allweather.runtimes.sinks.base",
    "Smoother": "allweather.runtimes.temporal",
    "Smoothing": "allweather.runtimes.temporal",
    "StageTimes": "allweather.runtimes.types",
    "StalledError": "allweather.runtimes.errors",
    "TableSink": "allweather.runtimes.sinks.table.sink",
    "TrainingError": "allweather.runtimes.errors",
    "UsageError": "allweather.runtimes.errors",
    "VideoSink": "allweather.runtimes.sinks.video",
    "View": "allweather.runtimes.tta.views",
    "WebhookSink": "allweather.runtimes.sinks.webhook.sink",
    "connect": "allweather.runtimes.connect",
    "is_image_name": "allweather.runtimes.cameras.image_files.names",
    "load": "allweather.runtimes.load",
    "open_camera": "allweather.runtimes.cameras.open",
    "read_image": "allweather.runtimes.cameras.image_files.read",
    "realtime": "allweather.runtimes.realtime",
    "register_view": "allweather.runtimes.tta.views",
    "watch": "allweather.runtimes.loop.watch",
}

__all__ = [*sorted(_MODULES)]


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first used."""
    if name not in _MODULES:
        raise AttributeError(f"module 'allweather' has no attribute {name!r}; it has {', '.join(sorted(_MODULES))}")
    from allweather.optional_dependencies import explain_missing
    from allweather.runtimes.system.isolated_imports import isolated_imports

    with explain_missing(), isolated_imports():
        value = getattr(importlib.import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Returns the public names, for completion."""
    return sorted([*_MODULES, "__version__"])
