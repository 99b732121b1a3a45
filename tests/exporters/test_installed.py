"""A library that an export imports late is missed at the start of a command."""

from __future__ import annotations

import importlib.util

import pytest

from allweather.create.config import CreateConfig, Export, Train
from allweather.create.settings import CreateSettings
from allweather.exporters.installed import check_installed
from allweather.optional_dependencies import explain_missing
from allweather.runtimes.errors import DependencyError


@pytest.fixture
def missing(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The libraries that are not installed; a test fills it."""
    names: set[str] = set()
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in names else found(name))
    return names


def test_what_is_needed_and_only_that_is_looked_for(missing: set[str]) -> None:
    check_installed({"openvino": ("fp32", "int8"), "onnx": ("int8",)}, traces=True)
    missing |= {"nncf", "onnxscript"}
    check_installed({"openvino": ("fp32",), "onnx": ("int8",)}, traces=False)
    with pytest.raises(ModuleNotFoundError, match="onnxscript"):
        check_installed({"openvino": ("fp32",)}, traces=True)
    with pytest.raises(ModuleNotFoundError, match="nncf"):
        check_installed({"openvino": ("int8",)}, traces=False)


def test_create_says_before_it_trains_what_its_export_will_need(missing: set[str]) -> None:
    config = CreateConfig(data="signs", train=Train(arch="resnet8"), export=Export(engines=("openvino",)))
    assert CreateSettings.of(config).export.engines == ("openvino",)
    missing.add("nncf")
    with (
        pytest.raises(DependencyError, match=r"this needs nncf, .*: pip install 'allweather\[export\]'"),
        explain_missing(),
    ):
        CreateSettings.of(config)
