"""The library of an engine may be missing, broken or half uninstalled: each is one line that says what to do."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from allweather.runtimes.engines import openvino_core
from allweather.runtimes.engines.library import import_library
from allweather.runtimes.engines.registry import check_engine, statuses
from allweather.runtimes.errors import DependencyError

BROKEN = [
    ("raise AttributeError('_ARRAY_API not found')", "does not load (_ARRAY_API not found; install it again"),
    ("raise RuntimeError('first\\nsecond')", "does not load (first; install it again"),
    ("1 / 0", "does not load (division by zero"),
    ("def", "does not load (invalid syntax"),
    ("__version__ = '1'", "is incomplete, as an uninstallation may leave it; install it again"),
    ("Core = 1", "is incomplete"),
    ("raise ImportError('libgomp.so.1: cannot open shared object file')", "cannot open shared object file; THE CURE"),
    ("raise OSError('libtbb.so: wrong ELF class')", "wrong ELF class; THE CURE"),
]


@pytest.mark.parametrize(("content", "words"), BROKEN, ids=[content[:24] for content, _ in BROKEN])
def test_a_broken_library_is_one_line(
    content: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "broken_library", raising=False)
    (tmp_path / "broken_library.py").write_text(content)
    with pytest.raises(DependencyError) as caught:
        import_library("broken_library", "some_engine", "THE CURE", needed="Core")
    assert str(caught.value).startswith("some_engine: ")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_an_uninstallation_leaves_is_no_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "left_library" / "cache").mkdir(parents=True)  # without an __init__.py it is a package, too
    with pytest.raises(DependencyError, match="left_library is incomplete"):
        import_library("left_library", "some_engine", "THE CURE", needed="Core")


@pytest.mark.parametrize("name", ["openvino", "onnx", "tensorrt", "tensorrt_rtx", "openvino_gpu"])
def test_every_engine_tells_a_library_that_is_incomplete(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for library in ("openvino", "onnxruntime", "tensorrt", "tensorrt_rtx"):
        monkeypatch.setitem(sys.modules, library, ModuleType(library))
    with pytest.raises(DependencyError, match="is incomplete"):
        check_engine(name)
    assert {status.name: status.version for status in statuses()}[name] is None


def _no_plugins() -> None:
    raise RuntimeError("Exception from core.cpp\nCannot find plugins.xml")


@pytest.mark.parametrize("core", [None, _no_plugins])
def test_an_openvino_without_its_plugins_is_one_line(core: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino_core, "_cores", [])
    library = ModuleType("openvino")
    vars(library).update(__version__="2026.0", Core=core)
    monkeypatch.setitem(sys.modules, "openvino", library)
    with pytest.raises(
        DependencyError, match=r"openvino cannot be started \(('NoneType'|Cannot find).*force-reinstall openvino"
    ):
        check_engine("openvino")
    found = {status.name: status.version for status in statuses()}
    assert (found["openvino"], found["openvino_gpu"]) == (None, None)
