"""Engines: what runs a compiled model, each in one module and one row of the table in `registry`.

`open_engine` lies in `open`, and is not imported here: the command line names the engines before it needs numpy.
"""

from allweather.runtimes.engines.base import CompiledModel, Engine, EngineModule, EngineSpec, EngineStatus
from allweather.runtimes.engines.registry import (
    engine_names,
    engine_spec,
    exportable,
    precisions,
    start_engine,
    statuses,
)

__all__ = [
    "CompiledModel",
    "Engine",
    "EngineModule",
    "EngineSpec",
    "EngineStatus",
    "engine_names",
    "engine_spec",
    "exportable",
    "precisions",
    "start_engine",
    "statuses",
]
