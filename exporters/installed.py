"""Whether the libraries are installed that an export imports late, so that it is known before hours of training."""

from __future__ import annotations

import importlib.util
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from allweather.runtimes.bundle.manifest import EngineName, Precision


def check_installed(plan: Mapping[EngineName, Collection[Precision]], *, traces: bool) -> None:
    """Checks, without importing them, that the libraries of an export are installed.

    Args:
        plan: Precisions to compile in, for each engine.
        traces: Whether a torch network is brought to ONNX.

    Raises:
        ModuleNotFoundError: One is missing; its `name` is that of the library, as of an import that fails.
    """
    needed = ["onnxscript"] if traces else []
    if "int8" in plan.get("openvino", ()):
        needed.append("nncf")
    for name in needed:
        if importlib.util.find_spec(name) is None:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
