"""Optional dependencies: which extra of the package installs which library, and the message if one is missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from allweather.runtimes.errors import DependencyError

EXTRAS = {  # extra that installs each library, by the name that it is imported under
    "cuda": "tensorrt",
    "cv2": "openvino",
    "lightning_fabric": "train",
    "matplotlib": "train",
    "nncf": "export",
    "onnx": "export",
    "onnxruntime": "onnx",
    "onnxscript": "export",
    "openvino": "openvino",
    "PIL": "train",
    "safetensors": "train",
    "tensorrt_rtx": "rtx",
    "torch": "train",
    "torchvision": "train",
}


@contextmanager
def explain_missing() -> Iterator[None]:
    """Explains a missing optional library that is imported in the `with` block by the command that installs it.

    Raises:
        DependencyError: An import in the block failed because a library that an extra installs is missing.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        if library not in EXTRAS:
            raise
        jetson = "; on a Jetson use the system's own cv2 (venv --system-site-packages)" if library == "cv2" else ""
        raise DependencyError(
            f"this needs {library}, which is not installed: pip install 'allweather[{EXTRAS[library]}]'{jetson}"
        ) from error
