"""Optional dependencies: which extra of the package installs which library, and the message if one is missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from allweather.runtimes.errors import DependencyError
from allweather.runtimes.system.shortage import is_shortage, with_cure

if TYPE_CHECKING:
    from types import ModuleType

EXTRAS = {  # extra that installs each library, by the name that it is imported under
    "cuda": "tensorrt",
    "cv2": "openvino",
    "datasets": "datasets",
    "lightning_fabric": "train",
    "matplotlib": "train",
    "mlflow": "tracking",
    "nncf": "export",
    "onnx": "export",
    "onnxruntime": "onnx",
    "onnxscript": "export",
    "openvino": "openvino",
    "paho": "mqtt",
    "PIL": "train",
    "pyarrow": "parquet",
    "safetensors": "train",
    "tensorboardX": "tracking",
    "tensorrt_rtx": "rtx",
    "timm": "timm",
    "torch": "train",
    "torchvision": "train",
    "webdataset": "webdataset",
}

CORE = ("numpy", "prometheus_client", "pydantic", "rich", "typer", "yaml")  # come with allweather itself

PACKAGES = {  # on package indexes, where a library is imported under another name
    "PIL": "pillow",
    "cuda": "cuda-python",
    "cv2": "opencv-python-headless",
    "lightning_fabric": "lightning-fabric",
    "paho": "paho-mqtt",
}


@contextmanager
def explain_missing() -> Iterator[None]:
    """Explains why a library that is imported in the `with` block is missing or cannot be loaded, and what to do.

    Raises:
        DependencyError: An import in the block failed because a library of the package or of an extra is missing or
            incomplete, or because the system cannot load the library's own parts.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        if library in CORE:
            raise DependencyError(
                f"this needs {library}, which comes with allweather and is gone: "
                "pip install --force-reinstall allweather"
            ) from error
        if library not in EXTRAS:
            raise
        jetson = "; on a Jetson use the system's own cv2 (venv --system-site-packages)" if library == "cv2" else ""
        raise DependencyError(
            f"this needs {library}, which is not installed: pip install 'allweather[{EXTRAS[library]}]'{jetson}"
        ) from error
    except ImportError as error:
        if not _is_of_the_loader(error):  # a fault in the code of whoever imports
            _check_libraries(error)
            raise
        library = (error.name or "a library").partition(".")[0]
        cure = f"install it again, or what it needs: pip install --force-reinstall {PACKAGES.get(library, library)}"
        raise DependencyError(f"{library} cannot be loaded: {with_cure(error, cure)}") from error
    except (AttributeError, RuntimeError, TypeError, NameError) as error:
        _check_libraries(error)
        raise


def _check_libraries(error: Exception) -> None:
    """Checks that an error was not raised because a library is half installed, or made for another NumPy.

    Raises:
        DependencyError: It was.
    """
    if isinstance(error, AttributeError):
        import_cv2()  # our own modules use its constants when they are imported
    library = _broken_library(error)
    if library is not None:
        cure = f"install it again: pip install --force-reinstall {PACKAGES.get(library, library)}"
        raise DependencyError(f"{library} does not load ({with_cure(error, cure)})") from error


def import_cv2() -> ModuleType:
    """Imports OpenCV.

    Raises:
        ImportError: It is not installed, or the system cannot load it.
        DependencyError: It is incomplete, or made for another NumPy.
    """
    cure = "install it again: pip install --force-reinstall opencv-python-headless"
    try:
        import cv2
    except ImportError:
        raise
    except Exception as error:  # what is half installed, or made for another NumPy, may raise anything
        raise DependencyError(f"cv2 does not load ({with_cure(error, cure)})") from error
    if not hasattr(cv2, "imdecode") or not hasattr(cv2, "__version__"):
        raise DependencyError(f"cv2 is incomplete, as an uninstallation may leave it; {cure}")
    return cv2


def _is_of_the_loader(error: ImportError) -> bool:
    """Returns whether the system could not load a shared object, which is a part of a library in another language."""
    return ".so" in str(error) or is_shortage(error)


def _broken_library(error: Exception) -> str | None:
    """Returns the library that failed while it was imported, or that lacked what a module of ours imports or uses."""
    libraries, importing, trace = [], "", error.__traceback__
    while trace is not None:
        frame = trace.tb_frame
        library = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        libraries.append(library)
        if frame.f_code.co_name == "<module>":
            importing = library
        trace = trace.tb_next
    source = error.name if isinstance(error, ImportError) else getattr(getattr(error, "obj", None), "__name__", None)
    libraries.append(str(source).partition(".")[0])
    if importing != "allweather" and importing not in EXTRAS:  # nothing is being imported, or a module of the user
        return None
    return next((each for each in libraries if each in EXTRAS), None)
