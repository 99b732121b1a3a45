"""The table of engines, and functions that look something up in it.

To add an engine, write one module with the two functions of `EngineModule` and one row here; to add one from another
package, see `third_party`. Nothing here imports an engine's module before that engine is used.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, cast

from allweather.runtimes.engines.base import CompiledModel, Engine, EngineModule, EngineSpec, EngineStatus
from allweather.runtimes.engines.third_party import ThirdPartyEngines, find_third_party_engines
from allweather.runtimes.errors import AllweatherError, DependencyError, EngineError, UsageError, first_line
from allweather.runtimes.text import printable

if TYPE_CHECKING:
    from allweather.runtimes.choices import EngineName, Precision

_FAKE, _ONNX, _OPENVINO, _TENSORRT = (
    f"allweather.runtimes.engines.{module}" for module in ("fake", "onnx", "openvino", "tensorrt.session")
)

# Preference: a GPU first, then the library that is fastest on a CPU. The precisions of TensorRT are in the order of
# NVIDIA's peak rates, the fastest first, as only the device itself could measure them.
# fmt: off
ENGINES = (
    #          name            module     device          runs        extra       precisions                preference
    EngineSpec("openvino",     _OPENVINO, "CPU",          "openvino", "openvino", ("fp32", "bf16", "int8"), 2),
    EngineSpec("onnx",         _ONNX,     "CPU",          "onnx",     "onnx",     ("fp32", "int8"),         3),
    EngineSpec("tensorrt",     _TENSORRT, "tensorrt",     "tensorrt", "tensorrt", ("int8", "fp16", "fp32"), 1),
    EngineSpec("openvino_gpu", _OPENVINO, "GPU",          "openvino", "openvino"),
    EngineSpec("openvino_npu", _OPENVINO, "NPU",          "openvino", "openvino"),
    EngineSpec("tensorrt_rtx", _TENSORRT, "tensorrt_rtx", "tensorrt", "rtx"),
    EngineSpec("fake",         _FAKE),
)
# fmt: on
_BUILT_IN = {spec.name: spec for spec in ENGINES}


def exportable() -> tuple[EngineName, ...]:
    """Returns the names of the engines that a model can be exported for."""
    return tuple(spec.runs for spec in ENGINES if spec.runs == spec.name)


def precisions(engine: EngineName) -> tuple[Precision, ...]:
    """Returns the precisions that a model can be exported in for an engine, in the order in which they are tried."""
    return _BUILT_IN[engine].precisions


def engine_names() -> tuple[str, ...]:
    """Returns the names of the engines that can run a bundle, sorted, with those that other packages add."""
    return tuple(sorted(spec.name for spec in _all() if spec.runs is not None))


def engine_spec(name: str) -> EngineSpec:
    """Returns the row of an engine. Other packages are only searched when the name is not one of allweather's own.

    Raises:
        UsageError: There is no such engine, or the package that adds it is broken. The message lists the known ones.
    """
    if not isinstance(name, str):
        raise UsageError(f"an engine is named by a text such as 'openvino'; got {type(name).__name__}")
    spec = _BUILT_IN.get(name) or _third_party().specs.get(name)
    if spec is None:
        fault = _third_party().faults.get(name)
        raise UsageError(
            f"unknown engine {printable(name)!r:.60}; choose one of {', '.join(engine_names())}"
            + (f" ({fault})" if fault else "")
        )
    return spec


def install_command(engine: str) -> str:
    """Returns the command that installs the library of one of allweather's own engines."""
    return f"pip install 'allweather[{_BUILT_IN[engine].extra}]'"


def statuses() -> Iterator[EngineStatus]:
    """Checks which engines can run here, sorted by name; broken engines of other packages are among them."""
    found = [_status(spec) for spec in _all()]
    broken = [EngineStatus(name, None, fault) for name, fault in _third_party().faults.items()]
    yield from sorted([*found, *broken], key=lambda status: status.name)


def check_engine(name: str) -> None:
    """Imports the library of one of allweather's own engines in this thread, and checks that it can run here.

    Another thread may start the engine afterwards: a Ctrl-C while that one imports a library could crash the process.

    Raises:
        DependencyError: The engine cannot run on this machine. The message says what is missing.
        UsageError: There is no such engine.
    """
    spec = engine_spec(name)
    if name in _BUILT_IN:
        _module(spec).probe(spec.device)


def start_engine(name: str, model: CompiledModel) -> Engine:
    """Loads a model on an engine.

    Args:
        name: Name of the engine.
        model: A model of the kind that this engine runs.

    Raises:
        DependencyError: The engine cannot run on this machine. The message says what is missing.
        NotBuiltError: The engine has to be built on this device first.
        EngineError: It cannot load the model.
        UsageError: There is no such engine.
    """
    spec = engine_spec(name)
    if name in _BUILT_IN:
        return _module(spec).start(model, spec.device)
    try:
        return _module(spec).start(model, spec.device)
    except AllweatherError:
        raise
    except Exception as error:
        raise EngineError(f"the engine {name} cannot load the model ({first_line(error)})") from error


def _status(spec: EngineSpec) -> EngineStatus:
    try:
        return EngineStatus(spec.name, _module(spec).probe(spec.device), "")
    except DependencyError as error:
        return EngineStatus(spec.name, None, str(error))
    except Exception as error:
        if spec.name in _BUILT_IN:
            raise
        return EngineStatus(spec.name, None, f"{spec.name}: {first_line(error)}")  # another package may raise anything


def _all() -> tuple[EngineSpec, ...]:
    return (*ENGINES, *_third_party().specs.values())


@cache
def _third_party() -> ThirdPartyEngines:
    return find_third_party_engines(tuple(_BUILT_IN), exportable())


def _module(spec: EngineSpec) -> EngineModule:
    return cast("EngineModule", importlib.import_module(spec.module))
