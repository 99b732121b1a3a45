"""A command that was killed and is started again ends like one that was not, and leaves nothing else behind."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from pathlib import Path
from typing import Any

import pytest
from commands import invoke, start

from allweather.trainers.augmentations.photometric import AUGMENTATIONS
from allweather.trainers.checkpoint import load_checkpoint, save_checkpoint

pytestmark = pytest.mark.end_to_end
MEASURED = {"seconds", "latency_ratio", "corrupted_latency_ratio"}  # of an evaluation of policies


def run(*words: object) -> None:
    """Runs a command to its end, in this process, which has loaded torch."""
    result = invoke(*words)
    assert result.exit_code == 0, result.stderr


def run_alone(*words: object) -> None:
    """Runs a command to its end in a process of its own."""
    process = start(*words)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors


def hashes(folder: Path) -> dict[str, str]:
    """The SHA-256 of each file below a folder, by its path."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_training_that_was_killed_writes_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    words = f"train --data folder:{folder} --size 32 --arch resnet8 --epochs 3 --batch-size 8 --out".split()
    undisturbed, out = tmp_path / "a" / "model.safetensors", tmp_path / "b" / "model.safetensors"
    run(*words, undisturbed)
    killed = start(*words, out)
    while not (out.parent / ".model.safetensors.resume").exists():
        assert killed.poll() is None
        time.sleep(0.005)
    killed.kill()
    killed.communicate()
    assert not out.exists()
    assert (out.parent / ".model.safetensors.lock").exists()
    run(*words, out)
    assert hashes(out.parent) == hashes(undisturbed.parent)
    assert list(hashes(out.parent)) == ["model.safetensors"]


def without(values: Any, names: set[str]) -> Any:
    """Plain values without these fields, wherever they are."""
    if isinstance(values, dict):
        return {name: without(value, names) for name, value in values.items() if name not in names}
    return [without(value, names) for value in values] if isinstance(values, list) else values


def test_an_evaluation_of_policies_that_was_killed_differs_in_measured_times_alone(
    folder: Path, plain: Path, tmp_path: Path
) -> None:
    corrupted, policy = tmp_path / "corrupted", "set:identity,zoom1.2"
    run("corrupt", "--data", f"folder:{folder}", "--size", 32, "--corruption", "fog", "--out", corrupted)
    words = ["evaluate", plain, "--data", f"folder:{folder}", "--policy", policy, "--corrupted", corrupted, "--out"]
    undisturbed, out = tmp_path / "a" / "report", tmp_path / "b" / "report"
    run(*words, undisturbed)
    killed = start(*words, out)
    while not any((out.parent / ".report.cells").rglob("[a-z]*.safetensors")):
        assert killed.poll() is None
        time.sleep(0.005)
    killed.kill()
    killed.communicate()
    assert killed.returncode < 0
    run(*words, out)
    assert [path.name for path in out.parent.iterdir()] == ["report"]
    first, second = (json_reports(each) for each in (undisturbed, out))
    assert "policies/result.json" in first
    assert first == second
    assert set(hashes(undisturbed)) == set(hashes(out))


def json_reports(report: Path) -> dict[str, Any]:
    """The results in a report, without the fields that docs/how-to/evaluate-and-export.md calls measurements."""
    return {
        str(path.relative_to(report)): without(json.loads(path.read_text()), MEASURED)
        for path in report.rglob("result.json")
    }


def test_an_evaluation_on_augmented_images_that_was_killed_writes_the_same_bytes(
    folder: Path, plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are the same command line, which the report holds, in two folders."""
    start_from = tmp_path / "with-strengths.safetensors"
    strengths = {name: each.paper for name, each in AUGMENTATIONS.items()}
    save_checkpoint(start_from, dataclasses.replace(load_checkpoint(plain), strengths=strengths))
    words = ["evaluate", start_from, "--data", f"folder:{folder}", "--augmented", "--out", "report"]
    undisturbed, out = tmp_path / "a" / "report", tmp_path / "b" / "report"
    for each in (undisturbed, out):
        each.parent.mkdir()
    monkeypatch.chdir(undisturbed.parent)
    run(*words)
    monkeypatch.chdir(out.parent)
    killed = start(*words)
    assert killed.stderr is not None
    for line in killed.stderr:
        if line.startswith("test "):  # the last row of the table of images: the evaluation begins
            break
    assert killed.poll() is None
    killed.kill()
    killed.communicate()
    assert not out.exists()
    run(*words)
    assert [path.name for path in out.parent.iterdir()] == ["report"]
    assert hashes(out) == hashes(undisturbed)


def untimed_manifest(bundle: Path) -> dict[str, Any]:
    """The manifest of a bundle without the fields that docs/how-to/evaluate-and-export.md calls measurements."""
    manifest: dict[str, Any] = json.loads((bundle / "manifest.json").read_text())
    for model in (*manifest["models"], *manifest["rejected"]):
        assert len(model.pop("seconds")) == 4
    return manifest


def test_an_export_that_was_killed_differs_in_measured_times_alone(folder: Path, plain: Path, tmp_path: Path) -> None:
    words = f"export {plain} --data folder:{folder} --engine openvino --precision int8 --out".split()
    undisturbed, out = tmp_path / "a" / "model.aw", tmp_path / "b" / "model.aw"
    run_alone(*words, undisturbed)  # as OpenVINO numbers its nodes through all models of a process
    killed = start(*words, out)
    assert killed.stderr is not None
    for line in killed.stderr:
        if "openvino int8" in line:
            break
    assert killed.poll() is None
    killed.kill()
    killed.communicate()
    assert [path.name for path in out.parent.iterdir()] == [".model.aw.lock"]
    run_alone(*words, out)
    first, second = hashes(undisturbed.parent), hashes(out.parent)
    assert list(out.parent.iterdir()) == [out]
    for each in (first, second):
        del each["model.aw/manifest.json"]  # it holds the times
    assert first == second
    assert untimed_manifest(undisturbed) == untimed_manifest(out)
