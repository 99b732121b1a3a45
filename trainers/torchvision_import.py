"""The only door to torchvision.

The stock torchvision wheel is built for CUDA torch; beside a CPU-only torch its C++ operators do not load and
`import torchvision` fails with "operator torchvision::nms does not exist". Declaring the two operator schemas
that its import registers fake kernels for is enough, as nothing here calls the operators themselves.
"""

from __future__ import annotations

import importlib
from types import ModuleType

import torch

# Kept alive for the life of the process: torch forgets a library's schemas when its object is collected.
_DECLARED: list[torch.library.Library] = []

_SCHEMAS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}


def torchvision(part: str) -> ModuleType:
    """Imports `torchvision.<part>`, on a CPU-only torch too.

    Args:
        part: "models", "datasets" or "transforms.v2".

    Returns:
        The module.
    """
    try:
        return importlib.import_module(f"torchvision.{part}")
    except RuntimeError as error:
        if "torchvision::" not in str(error) or _DECLARED:
            raise
        library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
        for schema in _SCHEMAS.values():
            library.define(schema)  # type: ignore[no-untyped-call]
        _DECLARED.append(library)
        return importlib.import_module(f"torchvision.{part}")
