"""A command that was killed and is started again ends like one that was not, and leaves nothing else behind."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from typing import Any

import pytest
from commands import start

pytestmark = pytest.mark.end_to_end


def run(*words: object) -> None:
    """Runs a command in a process of its own to its end."""
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
    words = f"train --data folder:{folder} --size 32 --arch resnet20 --epochs 3 --batch-size 8 --out".split()
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


def untimed_manifest(bundle: Path) -> dict[str, Any]:
    """The manifest of a bundle without the fields that docs/guide-evaluation.md calls measurements."""
    manifest: dict[str, Any] = json.loads((bundle / "manifest.json").read_text())
    for model in (*manifest["models"], *manifest["rejected"]):
        assert len(model.pop("seconds")) == 4
    return manifest


@pytest.mark.parametrize(("engine", "precision"), [("onnx", "fp32"), ("openvino", "int8")])
def test_an_export_that_was_killed_differs_in_measured_times_alone(
    engine: str, precision: str, folder: Path, plain: Path, tmp_path: Path
) -> None:
    words = f"export {plain} --data folder:{folder} --engine {engine} --precision {precision} --out".split()
    undisturbed, out = tmp_path / "a" / "model.aw", tmp_path / "b" / "model.aw"
    run(*words, undisturbed)
    killed = start(*words, out)
    assert killed.stderr is not None
    for line in killed.stderr:
        if f"{engine} {precision}" in line:
            break
    assert killed.poll() is None
    killed.kill()
    killed.communicate()
    assert [path.name for path in out.parent.iterdir()] == [".model.aw.lock"]
    run(*words, out)
    first, second = hashes(undisturbed.parent), hashes(out.parent)
    assert list(out.parent.iterdir()) == [out]
    for each in (first, second):
        del each["model.aw/manifest.json"]  # it holds the times
    assert first == second
    assert untimed_manifest(undisturbed) == untimed_manifest(out)
