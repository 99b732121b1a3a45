"""Engines: what runs a compiled model. Each has a row in the table in `registry`, which names its module.

`open_engine` is in the module `open`, and is not imported here: the command line lists the engines without numpy.
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
