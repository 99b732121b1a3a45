"""What this device can run, and what mends what it cannot."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata

from allweather import __version__
from allweather.optional_dependencies import EXTRAS
from allweather.runtimes.errors import DependencyError, EngineError
from allweather.runtimes.system.device import Device, this_device

TRAINING = ("torch", "torchvision", "lightning-fabric", "safetensors", "matplotlib", "onnx", "onnxscript", "nncf")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: whether it works, and the version or the cure."""

    name: str
    works: bool
    text: str


@dataclass(frozen=True)
class DoctorReport:
    """All findings on a device."""

    version: str
    device: Device
    findings: tuple[Finding, ...]


def diagnose() -> DoctorReport:
    """Looks at the processor, cv2, the engines, the GPU and the training libraries; changes nothing."""
    device = this_device()
    findings = (*_system(device), *_cv2(), *_engines(), *_gpu(), *_training())
    return DoctorReport(__version__, device, findings)


def _system(device: Device) -> Iterator[Finding]:
    yield Finding("allweather", True, __version__)
    fine = sys.version_info >= (3, 10)
    yield Finding("python", fine, platform.python_version() + ("" if fine else ": 3.10 or newer is needed"))
    text = (
        "has instructions for it"
        if device.fast_int8
        else "no VNNI, AMX or dot product: INT8 may be no faster than fp32"
    )
    yield Finding("int8 on this cpu", device.fast_int8, text)


def _cv2() -> Iterator[Finding]:
    try:
        import cv2
    except ImportError as error:
        cure = "pip install opencv-python-headless, or on a Jetson use the system's (venv --system-site-packages)"
        yield Finding("cv2", False, f"{error}: {cure}")
        return
    yield Finding("cv2", True, cv2.__version__)
    build = _build_information(cv2.getBuildInformation())
    for key, purpose in (("FFMPEG", "video files, RTSP"), ("GStreamer", "camera pipelines, CSI cameras on Jetson")):
        works = build.get(key, "NO").startswith("YES")
        yield Finding(
            f"cv2 {key}", works, purpose + ("" if works else ": this cv2 was built without it; use the system's")
        )
    screen = "DISPLAY" in os.environ or "WAYLAND_DISPLAY" in os.environ or platform.system() != "Linux"
    gui = build.get("GUI", "NONE") != "NONE"
    cure = "" if gui else ": pip install opencv-python in place of opencv-python-headless"
    yield Finding("window (--show)", gui and screen, ("no screen here" if not screen else "a screen is there") + cure)


def _build_information(text: str) -> dict[str, str]:
    pairs = (line.partition(":") for line in text.splitlines())
    return {key.strip(): value.strip() for key, mark, value in pairs if mark}


def _engines() -> Iterator[Finding]:
    try:
        from allweather.runtimes.engines.registry import statuses
    except ImportError as error:  # cv2 is missing or does not load, which was said above
        yield Finding("engines", False, str(error))
        return
    for status in statuses():
        if status.name != "fake":
            yield Finding(f"engine {status.name}", status.version is not None, status.version or status.reason)


def _gpu() -> Iterator[Finding]:
    """What TensorRT needs, part by part: the engines above name only the first that is missing."""
    try:
        from allweather.runtimes.engines.tensorrt.cache import built_engines
        from allweather.runtimes.engines.tensorrt.cuda import open_cuda
        from allweather.runtimes.engines.tensorrt.library import open_library
    except ImportError:  # said above
        return
    for variant in ("tensorrt", "tensorrt_rtx"):
        try:
            yield Finding(f"{variant} library", True, open_library(variant).version)
        except DependencyError as error:
            yield Finding(f"{variant} library", False, str(error).removeprefix(f"{variant}: "))
    try:
        cuda = open_cuda()
    except DependencyError as error:
        yield Finding("cuda bindings", False, str(error))
        return
    yield Finding("cuda bindings", True, "cuda-python is there")
    try:
        gpu = cuda.gpu()
        yield Finding("gpu", True, f"{gpu.name}, compute capability {gpu.architecture}, driver for CUDA {gpu.cuda}")
    except DependencyError as error:
        yield Finding("gpu", False, str(error))
    try:
        yield Finding("built engines", True, f"lie in {built_engines().folder}")
    except EngineError as error:
        yield Finding("built engines", False, str(error))


def _training() -> Iterator[Finding]:
    for name in TRAINING:
        try:
            yield Finding(name, True, metadata.version(name))
        except metadata.PackageNotFoundError:
            extra = EXTRAS[name.replace("-", "_")]
            yield Finding(name, False, f"not installed; to train or export: pip install 'allweather[{extra}]'")
