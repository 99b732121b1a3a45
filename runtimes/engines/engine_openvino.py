"""Intel OpenVINO on the CPU."""

from __future__ import annotations

from allweather.runtimes.engines.openvino import OpenvinoEngine, probe_device
from allweather.runtimes.engines.registry import CompiledModel, Engine


def probe() -> str:
    """The version of OpenVINO.

    Raises:
        DependencyError: it is not installed, or does not load.
    """
    return probe_device("CPU")


def start(network: CompiledModel) -> Engine:
    """Compiles a network.

    Raises:
        DependencyError: OpenVINO is not installed.
        EngineError: OpenVINO refuses the network.
    """
    probe()
    return OpenvinoEngine(network, "CPU")
