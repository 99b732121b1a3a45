"""Optional libraries: which extra brings which, said in one line when one is missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from allweather.runtimes.errors import DependencyError

EXTRAS = {
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
    """Maps a missing optional library to the command that installs it.

    Raises:
        DependencyError: an import inside failed for want of a library that an extra brings.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        if library not in EXTRAS:
            raise
        also = "; on a Jetson use the system's own cv2 (venv --system-site-packages)" if library == "cv2" else ""
        raise DependencyError(
            f"this needs {library}, which is not installed: pip install 'allweather[{EXTRAS[library]}]'{also}"
        ) from error
