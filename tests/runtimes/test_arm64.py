"""Whether an arm64 device gives the same outputs as this machine: the sample bundle under qemu, where it is set up."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from allweather.runtimes.bundle.bundle import Bundle, npy_bytes, write_bundle

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "benchmarks" / "exporters" / "arm64.py"
SAMPLE = ROOT / "samples" / "bundles" / "cifar10-resnet20"
QEMU = "qemu-aarch64-static"


@pytest.fixture(scope="module")
def prepared() -> Path:
    """The folder that benchmarks/exporters/arm64.py made; without one, a skip that says what was not checked."""
    missed = "whether an arm64 device gives the same outputs as x86 was not checked"
    folder = os.environ.get("ALLWEATHER_ARM64")
    if not folder:
        pytest.skip(f"{missed}: run `python benchmarks/exporters/arm64.py FOLDER` once and set ALLWEATHER_ARM64=FOLDER")
    if not shutil.which(QEMU):
        pytest.skip(f"{missed}: {QEMU} is not on this machine; sudo apt-get install qemu-user-static")
    assert (Path(folder) / "packages").is_dir(), f"ALLWEATHER_ARM64={folder} was not made by {SCRIPT}"
    return Path(folder)


def compare(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **environment})


@pytest.fixture(scope="module")
def report(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("arm64") / "report.json"
    done = compare(prepared, SAMPLE, "--images", 4, "--json", out)
    assert done.returncode == 0, done.stderr
    first: dict[str, Any] = json.loads(out.read_text())[0]
    return first


def test_every_model_opens_on_arm64_within_its_tolerance(report: dict[str, Any]) -> None:
    assert "aarch64" in report["arm64"]
    assert "x86_64" in report["x86"]
    models = {
        f"{model.role}-{model.engine}-{model.precision}"
        for model in Bundle.open(SAMPLE).manifest.models
        if model.engine in ("openvino", "onnx")
    }
    assert len(models) > 4
    assert {row["model"] for row in report["rows"]} == models
    for row in report["rows"]:
        assert not row["error"], row
        assert row["golden_difference_arm64"] <= row["tolerance"], row
        assert row["max_difference"] <= row["tolerance"], row


def test_fp32_gives_the_same_decisions_on_arm64(report: dict[str, Any]) -> None:
    for row in report["rows"]:
        if row["model"].endswith("fp32"):
            assert row["max_difference"] < 1e-4, row
            assert row["agreement"] == 1, row
            assert row["same_labels"] in (None, 1), row


def test_pixels_on_arm64_are_the_same(report: dict[str, Any]) -> None:
    assert len([step for step in report["pixels"] if step["step"].startswith("view/")]) >= 12
    assert any(step["step"].startswith("prepare/640 x 360") for step in report["pixels"])
    for step in report["pixels"]:
        assert step["max_difference"] == 0, step


def test_a_bundle_with_other_golden_outputs_is_refused_on_arm64(prepared: Path, tmp_path: Path) -> None:
    bundle = Bundle.open(SAMPLE)
    models = [each for each in bundle.manifest.models if (each.engine, each.precision) == ("onnx", "fp32")]
    (model,) = (each for each in models if each.role == "classifier")
    contents = {name: bundle.read(name) for name in bundle.manifest.files}
    contents[model.golden] = npy_bytes(np.asarray(bundle.golden_outputs(model) + np.float32(0.02), np.float32))
    manifest = bundle.manifest.model_copy(update={"models": tuple(models)})
    write_bundle(tmp_path / "other.aw", manifest, contents)
    out = tmp_path / "report.json"
    done = compare(prepared, tmp_path / "other.aw", "--images", 1, "--json", out)
    assert done.returncode == 1, done.stderr
    errors = {row["model"]: row["error"] for row in json.loads(out.read_text())[0]["rows"]}
    assert "golden outputs on this device: logits differ by 0.02" in errors["classifier-onnx-fp32"]
    assert not errors["predictor-onnx-fp32"]


@pytest.mark.slow
def test_without_qemu_the_error_says_what_to_install(tmp_path: Path) -> None:
    done = compare(tmp_path / "arm64", PATH=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr == f"error: {QEMU} is not on this machine; sudo apt-get install qemu-user-static\n"
    assert not (tmp_path / "arm64").exists()
