"""The checks of the doctor: each part of the GPU stack, and how to install what is missing."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from allweather.doctor import diagnose
from allweather.optional_dependencies import explain_missing
from allweather.runtimes.errors import DependencyError


def checks() -> dict[str, tuple[bool, str]]:
    return {check.name: (check.works, check.text) for check in diagnose().checks}


def test_a_jetson(jetson: Any) -> None:
    results = checks()
    assert results["tensorrt library"] == (True, "10.3.0")
    assert results["engine tensorrt"] == (True, "10.3.0")
    assert results["gpu"] == (True, "Fake Orin, compute capability 8.7, driver for CUDA 12.6")
    assert results["built engines"][0]


def test_an_old_jetpack_names_the_version_that_is_needed(jetson: Any) -> None:
    jetson.install("8.6.2")
    works, text = checks()["engine tensorrt"]
    assert not works
    assert "10.3 or newer is needed: update to JetPack 6.1" in text


def test_a_machine_without_a_gpu_stack_names_every_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("tensorrt", "tensorrt_rtx", "cuda.bindings.runtime", "cuda.cudart"):
        monkeypatch.setitem(sys.modules, name, None)
    results = checks()
    cures = {
        "engine tensorrt": "comes with JetPack",
        "engine tensorrt_rtx": "pip install 'allweather[rtx]'",
        "cuda bindings": "pip install 'allweather[tensorrt]'",
    }
    for name, cure in cures.items():
        works, text = results[name]
        assert not works
        assert cure in text
    assert not {"gpu", "tensorrt library", "tensorrt_rtx library"} & set(results)  # each cure once


BROKEN = """
import sys
class Broken:
    def find_spec(self, name, *_):
        if name == "cv2":
            raise ImportError("libGL.so.1: cannot open shared object file")
sys.meta_path.insert(0, Broken())
from allweather.doctor import diagnose
from allweather.optional_dependencies import explain_missing
from allweather.runtimes.errors import DependencyError
print({each.name: each.text for each in diagnose().checks})
"""


@pytest.mark.end_to_end
def test_a_cv2_that_does_not_load_is_reported() -> None:
    done = subprocess.run([sys.executable, "-c", BROKEN], capture_output=True, text=True, timeout=120)
    assert "'cv2': 'libGL.so.1" in done.stdout.replace('"', "'"), done.stderr
    assert "'engine onnx': " in done.stdout  # the engines are checked without it


def test_a_machine_without_a_gpu_says_so(jetson: Any) -> None:
    jetson.cudart.failing.add("cudaGetDeviceCount")
    works, text = checks()["gpu"]
    assert not works
    assert "nvidia-smi" in text


def test_a_cv2_that_is_half_uninstalled_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", ModuleType("cv2"))
    works, text = checks()["cv2"]
    assert not works
    assert "cv2 is incomplete" in text
    assert "pip install --force-reinstall opencv-python-headless" in text
    with pytest.raises(DependencyError, match="cv2 is incomplete"), explain_missing():
        raise AttributeError("module 'cv2' has no attribute 'FONT_HERSHEY_DUPLEX'")  # as our modules raise it


def test_a_fault_of_our_own_is_not_blamed_on_cv2() -> None:
    with pytest.raises(AttributeError, match="ours"), explain_missing():
        raise AttributeError("ours")


LIBRARIES = {
    "raise AttributeError('_ARRAY_API not found')": "torch does not load (_ARRAY_API not found; install it again",
    "raise RuntimeError('made for another NumPy')": "torch does not load (made for another NumPy",
    "from numpy import nothing_here": "torch does not load (cannot import name 'nothing_here'",
    "__version__ = '1'": "torch does not load (module 'torch' has no attribute 'Tensor'",
}


@pytest.mark.parametrize("content", LIBRARIES)
def test_a_training_library_that_is_broken_is_named(
    content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(sys.modules, "torch", ModuleType("torch"))  # so that the broken one does not stay
    monkeypatch.delitem(sys.modules, "torch")
    (tmp_path / "torch.py").write_text(content)
    ours = {"__name__": "allweather.trainers.ours"}
    with pytest.raises(DependencyError) as caught, explain_missing():
        exec(compile("import torch\ntorch.Tensor", "ours.py", "exec"), ours)  # noqa: S102 # as a module of ours does
    assert str(caught.value).startswith(LIBRARIES[content])
    assert str(caught.value).endswith("pip install --force-reinstall torch)")


def test_a_fault_in_a_module_of_the_user_is_not_blamed_on_a_library() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Matt'"), explain_missing():
        exec("import cv2\ncv2.Matt", {"__name__": "their_network"})  # noqa: S102 # as Python does


def test_a_shared_object_that_is_missing_names_the_package_and_not_the_module() -> None:
    with pytest.raises(DependencyError, match="force-reinstall opencv-python-headless"), explain_missing():
        raise ImportError("libGL.so.1: cannot open shared object file", name="cv2")


def test_a_library_whose_description_is_empty_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "version", lambda name: None)
    works, text = checks()["torch"]
    assert not works
    assert "not installed" in text
