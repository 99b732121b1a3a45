"""allweather: image classification on edge cameras that stays right in bad weather and keeps its latency budget.

    perceiver = allweather.load("signs.aw", budget_ms=20)
    decision = perceiver(frame_rgb)

The names below are the whole public surface. Each is imported when it is first used, so that `import allweather` costs
next to nothing and never brings in torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from allweather.runtimes.bundle.bundle import Bundle as Bundle
    from allweather.runtimes.cameras.open import open_camera as open_camera
    from allweather.runtimes.connect import connect as connect
    from allweather.runtimes.errors import AllweatherError as AllweatherError
    from allweather.runtimes.errors import EngineTimeoutError as EngineTimeoutError
    from allweather.runtimes.load import load as load
    from allweather.runtimes.loop.watch import watch as watch
    from allweather.runtimes.perceiver import Perceiver as Perceiver
    from allweather.runtimes.preprocess import InputSpec as InputSpec
    from allweather.runtimes.preprocess import Region as Region
    from allweather.runtimes.types import Budget as Budget
    from allweather.runtimes.types import Decision as Decision
    from allweather.runtimes.types import Frame as Frame

__version__ = "0.1.0"

_HOME = {
    "AllweatherError": "allweather.runtimes.errors",
    "Budget": "allweather.runtimes.types",
    "Bundle": "allweather.runtimes.bundle.bundle",
    "Decision": "allweather.runtimes.types",
    "Frame": "allweather.runtimes.types",
    "InputSpec": "allweather.runtimes.preprocess",
    "EngineTimeoutError": "allweather.runtimes.errors",
    "Perceiver": "allweather.runtimes.perceiver",
    "Region": "allweather.runtimes.preprocess",
    "connect": "allweather.runtimes.connect",
    "load": "allweather.runtimes.load",
    "open_camera": "allweather.runtimes.cameras.open",
    "watch": "allweather.runtimes.loop.watch",
}

__all__ = [*sorted(_HOME)]


def __getattr__(name: str) -> Any:
    """Imports a public name on its first use."""
    if name not in _HOME:
        raise AttributeError(f"module 'allweather' has no attribute {name!r}; it has {', '.join(sorted(_HOME))}")
    from allweather.optional_dependencies import explain_missing

    with explain_missing():
        value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names, for completion."""
    return sorted([*_HOME, "__version__"])
