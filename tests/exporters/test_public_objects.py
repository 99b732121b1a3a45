"""The packages of the exporters offer their public objects, and devices need no torch for those that run there."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

from allweather import exporters


@pytest.mark.parametrize("package", ["", ".foreign", ".lint", ".onnx", ".openvino", ".serving", ".tensorrt"])
def test_every_public_object_can_be_imported(package: str) -> None:
    module = importlib.import_module(f"allweather.exporters{package}")
    assert module.__all__
    for name in module.__all__:
        assert hasattr(module, name), name


def test_a_name_that_is_not_public_gets_the_public_ones() -> None:
    with pytest.raises(AttributeError, match="export"):
        exporters.exported  # noqa: B018 -- the access is what is tested
    assert dir(exporters) == sorted(exporters.__all__)


@pytest.mark.parametrize("package", ["allweather.exporters", "allweather.exporters.serving"])
@pytest.mark.slow
def test_neither_torch_nor_onnx_is_imported_on_a_server(package: str) -> None:
    code = f"import sys, {package}; print({{'torch', 'onnx', 'openvino'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
