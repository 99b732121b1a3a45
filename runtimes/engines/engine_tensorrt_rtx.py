"""NVIDIA TensorRT for RTX, on a PC with an RTX card: runs the bundle's TensorRT models, too."""

from __future__ import annotations

from allweather.runtimes.engines.registry import CompiledModel, Engine
from allweather.runtimes.engines.tensorrt.session import probe_session, start_session


def probe() -> str:
    """The version of the library.

    Raises:
        DependencyError: it, CUDA's bindings or a GPU is missing.
    """
    return probe_session("tensorrt_rtx")


def start(network: CompiledModel) -> Engine:
    """Runs the engine that 'allweather build' made of a network on this device.

    Raises:
        DependencyError: the library, CUDA's bindings or a GPU is missing.
        NotBuiltError: it has not been built.
        EngineError: it was damaged, or the device refuses it.
    """
    return start_session("tensorrt_rtx", network)
