"""The only place that imports torchvision, so that it also works beside a CPU-only torch.

The stock torchvision wheel is built for CUDA torch. Beside a CPU-only torch its C++ operators do not load, and
`import torchvision` fails with "operator torchvision::nms does not exist". Declaring the schemas of the two operators
that its import registers fake kernels for is enough, because nothing in this package calls the operators themselves.
"""

from __future__ import annotations

import importlib
from types import ModuleType

import torch

# Kept alive for the life of the process: torch forgets a library's schemas when its object is collected.
_DECLARED: list[torch.library.Library] = []

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


def import_torchvision(submodule: str) -> ModuleType:
    """Imports `torchvision.<submodule>`; declares the missing operator schemas first where torch is CPU-only.

    Args:
        submodule: Such as "models", "datasets" or "transforms.v2".

    Returns:
        The imported module.

    Raises:
        RuntimeError: torchvision fails to import for another reason than its missing operators.
    """
    try:
        return importlib.import_module(f"torchvision.{submodule}")
    except RuntimeError as error:
        if "torchvision::" not in str(error) or _DECLARED:
            raise
        library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
        for schema in _SCHEMAS:
            library.define(schema)  # type: ignore[no-untyped-call]
        _DECLARED.append(library)
        return importlib.import_module(f"torchvision.{submodule}")
