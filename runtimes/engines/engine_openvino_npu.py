"""Intel OpenVINO on the neural processor of an Intel Core Ultra: runs the bundle's OpenVINO models, too."""

from __future__ import annotations

from allweather.runtimes.engines.openvino import OpenvinoEngine, probe_device
from allweather.runtimes.engines.registry import CompiledModel, Engine


def probe() -> str:
    """The version of OpenVINO.

    Raises:
        DependencyError: it is not installed, or sees no such device.
    """
    return probe_device("NPU")


def start(network: CompiledModel) -> Engine:
    """Compiles a network.

    Raises:
        DependencyError: OpenVINO is not installed, or sees no such device.
        EngineError: OpenVINO refuses the network.
    """
    probe()
    return OpenvinoEngine(network, "NPU")
