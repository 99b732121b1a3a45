"""Checks what this device can run, and says how to install what is missing."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata

from allweather import __version__
from allweather.optional_dependencies import EXTRAS, PACKAGES, import_cv2
from allweather.runtimes.errors import DependencyError, EngineError
from allweather.runtimes.system.device import Device, this_device

MIN_PYTHON = (3, 10)
TRAINING_LIBRARIES = dict.fromkeys(
    ("torch", "torchvision", "lightning-fabric", "safetensors", "matplotlib", "onnx", "onnxscript", "nncf"),
    "training and export",
)
OUTPUT_LIBRARIES = {"paho-mqtt": "run --mqtt", "pyarrow": "run --table NAME.parquet"}


@dataclass(frozen=True)
class Check:
    """Result of checking one thing.

    Attributes:
        name: What was checked, such as "engine openvino".
        works: Whether it works.
        text: Its version or purpose; if it does not work, what is wrong and what to do.
    """

    name: str
    works: bool
    text: str


@dataclass(frozen=True)
class DoctorReport:
    """Results of all checks.

    Attributes:
        version: Version of allweather.
        device: This device.
        checks: The results, the most basic things first.
    """

    version: str
    device: Device
    checks: tuple[Check, ...]


def diagnose() -> DoctorReport:
    """Checks the processor, cv2, the engines, the GPU and the training libraries; changes nothing."""
    device = this_device()
    outputs, training = _check_libraries(OUTPUT_LIBRARIES), _check_libraries(TRAINING_LIBRARIES)
    checks = (*_check_system(device), *_check_cv2(), *_check_engines(), *_check_gpu(), *outputs, *training)
    return DoctorReport(__version__, device, checks)


def _check_system(device: Device) -> Iterator[Check]:
    yield Check("allweather", True, __version__)
    works, minimum = sys.version_info >= MIN_PYTHON, ".".join(map(str, MIN_PYTHON))
    yield Check("python", works, platform.python_version() + ("" if works else f": {minimum} or newer is needed"))
    text = (
        "the CPU has instructions for it"
        if device.fast_int8
        else "the CPU has no VNNI, AMX or dot-product instructions: INT8 may be no faster than FP32"
    )
    yield Check("int8 on this cpu", device.fast_int8, text)


def _check_cv2() -> Iterator[Check]:
    try:
        cv2 = import_cv2()
    except DependencyError as error:
        yield Check("cv2", False, str(error))
        return
    except ImportError as error:
        cure = "pip install opencv-python-headless, or on a Jetson use the system's (venv --system-site-packages)"
        yield Check("cv2", False, f"{error}: {cure}")
        return
    yield Check("cv2", True, cv2.__version__)
    build = _parse_build_information(cv2.getBuildInformation())
    for key, purpose in (("FFMPEG", "video files, RTSP"), ("GStreamer", "camera pipelines, CSI cameras on Jetson")):
        works = build.get(key, "NO").startswith("YES")
        cure = "" if works else ": this cv2 was built without it; use the system's"
        yield Check(f"cv2 {key}", works, purpose + cure)
    has_screen = "DISPLAY" in os.environ or "WAYLAND_DISPLAY" in os.environ or platform.system() != "Linux"
    has_gui = build.get("GUI", "NONE") != "NONE"
    cure = "" if has_gui else ": pip install opencv-python in place of opencv-python-headless"
    screen = "a screen is available" if has_screen else "this session has no screen"
    yield Check("window (--show)", has_gui and has_screen, screen + cure)


def _parse_build_information(text: str) -> dict[str, str]:
    pairs = (line.partition(":") for line in text.splitlines())
    return {key.strip(): value.strip() for key, separator, value in pairs if separator}


def _check_engines() -> Iterator[Check]:
    try:
        from allweather.runtimes.engines.registry import statuses
    except (ImportError, AttributeError) as error:  # cv2 is missing or does not load, which its own check says
        yield Check("engines", False, str(error))
        return
    for status in statuses():
        if status.name != "fake":
            yield Check(f"engine {status.name}", status.version is not None, status.version or status.reason)


def _check_gpu() -> Iterator[Check]:
    """Checks each thing that TensorRT needs, because the check of its engine names only the first that is missing."""
    try:
        from allweather.runtimes.engines.tensorrt.cache import built_engines
        from allweather.runtimes.engines.tensorrt.cuda import open_cuda
        from allweather.runtimes.engines.tensorrt.library import open_library
    except (ImportError, AttributeError):  # the check of the engines says so
        return
    for variant in ("tensorrt", "tensorrt_rtx"):
        try:
            yield Check(f"{variant} library", True, open_library(variant).version)
        except DependencyError:  # the check of the engine, which needs the library first, says so
            continue
    try:
        cuda = open_cuda()
    except DependencyError as error:
        yield Check("cuda bindings", False, str(error))
        return
    yield Check("cuda bindings", True, "cuda-python is installed")
    try:
        gpu = cuda.gpu()
        yield Check("gpu", True, f"{gpu.name}, compute capability {gpu.architecture}, driver for CUDA {gpu.cuda}")
    except DependencyError as error:
        yield Check("gpu", False, str(error))
    try:
        yield Check("built engines", True, f"stored in {built_engines().folder}")
    except EngineError as error:
        yield Check("built engines", False, str(error))


def _check_libraries(purposes: Mapping[str, str]) -> Iterator[Check]:
    """Checks whether libraries are installed.

    Args:
        purposes: What each is needed for, by its name on package indexes.
    """
    for name, purpose in purposes.items():
        try:
            version: str | None = metadata.version(name)
        except (metadata.PackageNotFoundError, KeyError):
            version = None
        if version:
            yield Check(name, True, version)
        else:  # or the folder of its description is empty, as an uninstallation may leave it
            imported = next((key for key, package in PACKAGES.items() if package == name), name.replace("-", "_"))
            yield Check(name, False, f"not installed; for {purpose}: pip install 'allweather[{EXTRAS[imported]}]'")
