"""Bundles that a server cannot run: what is missing is said, and nothing is written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from allweather.exporters.serving.repository import LAYOUTS, write_repository
from allweather.runtimes.bundle.bundle import Bundle, write_bundle
from allweather.runtimes.bundle.manifest import Manifest
from allweather.runtimes.errors import BundleError, EngineError


@pytest.fixture
def bundle(sample_bundle: Path) -> Bundle:
    return Bundle.open(sample_bundle)


def with_models(bundle: Bundle, keep: Callable[[Any], bool], path: Path) -> Bundle:
    """A bundle with only those models for which `keep` is true."""
    kept = tuple(model for model in bundle.manifest.models if keep(model))
    contents = {name: bundle.read(name) for name in bundle.manifest.files}
    write_bundle(path, bundle.manifest.model_copy(update={"models": kept}), contents)
    return Bundle.open(path)


def test_a_bundle_without_a_model_for_the_server_says_what_to_export(bundle: Bundle, tmp_path: Path) -> None:
    openvino_only = with_models(bundle, lambda model: model.engine == "openvino", tmp_path / "openvino_only")
    with pytest.raises(
        EngineError, match=r"triton serves models for onnx; .* has no such classifier \(it has openvino"
    ) as e:
        write_repository(openvino_only, "triton", tmp_path / "repo")
    assert str(e.value).endswith("export the checkpoint again with --engine onnx")
    with pytest.raises(EngineError, match=r"no such classifier for bf16 \(.*\): choose one of onnx [a-z0-9, ]*$"):
        write_repository(bundle, "triton", tmp_path / "repo", precision="bf16")
    with pytest.raises(EngineError, match=r"no such classifier for openvino .*: choose one of onnx [a-z0-9, ]*$"):
        write_repository(bundle, "triton", tmp_path / "repo", engine="openvino")
    no_predictor = with_models(bundle, lambda model: model.role == "classifier", tmp_path / "no_predictor")
    with pytest.raises(EngineError, match=r"has no such predictor for openvino \(it has none\): export"):
        write_repository(no_predictor, "ovms", tmp_path / "repo")
    assert not (tmp_path / "repo").exists()


@pytest.mark.slow
def test_a_bundle_without_a_predictor_serves_only_the_classifier(
    exported: tuple[Path, Manifest], tmp_path: Path
) -> None:
    for layout in LAYOUTS:
        write_repository(Bundle.open(exported[0]), layout, tmp_path / layout)
        assert [path.name for path in (tmp_path / layout).iterdir() if path.is_dir()] == ["classifier"]
    assert "pipeline_config_list" not in json.loads((tmp_path / "ovms" / "config.json").read_text())


def test_a_class_with_a_line_break_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    classes = ("air\nplane", *bundle.classes[1:])
    shutil.copytree(bundle.path, tmp_path / "bundle")
    manifest = bundle.manifest.model_copy(update={"classes": classes})
    odd = replace(bundle, path=tmp_path / "bundle", manifest=manifest)
    with pytest.raises(BundleError, match=r"one label a line; rename the class 'air\?plane'"):
        write_repository(odd, "triton", tmp_path / "repo")
