"""From images to decisions, command by command."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import pytest
from commands import invoke, json_of

from allweather.runtimes.bundle.manifest import Manifest


@pytest.mark.slow
def test_from_images_to_decisions(folder: Path, tmp_path: Path) -> None:
    data, trained, bundle = f"folder:{folder}", tmp_path / "c.safetensors", tmp_path / "c.aw"
    line = ["train", "--data", data, "--arch", "resnet8", "--size", 32, "--epochs", 1, "--batch-size", 20]
    assert json_of(invoke(*line, "--out", trained, "--json"))["val_accuracy"] >= 0.3
    done = json_of(invoke("export", trained, "--data", data, "--out", bundle, "--engine", "openvino", "--json"))
    assert "fp32" in {model["precision"] for model in done["models"]}
    assert {model["precision"] for model in (*done["models"], *done["rejected"])} >= {"fp32", "int8"}
    line = ["evaluate", "--data", data, "--json"]
    checkpoint = json_of(invoke(*line, trained, "--out", tmp_path / "t"))
    assert (tmp_path / "t" / "training.png").is_file()
    compiled = json_of(invoke(*line, bundle, "--precision", "fp32", "--out", tmp_path / "r"))
    assert checkpoint["accuracy"] == compiled["accuracy"]
    assert checkpoint["confusion"] == compiled["confusion"]
    assert {path.name for path in (tmp_path / "r").iterdir()} == {
        "report.html", "result.json", "confusion.png", "reliability.png",
    }  # fmt: skip
    images = tmp_path / "images"
    shutil.copytree(folder / "test" / "red", images)
    (images / "broken.png").write_bytes(b"\x89PNG but not really")
    log, video = tmp_path / "d.jsonl", tmp_path / "d.mp4"
    done = invoke("run", bundle, "--source", images, "--jsonl", log, "--video", video, "--budget-ms", 5000, "--json")
    report = json_of(done)
    assert report["decided"] == 8
    assert report["report"]["drops"]["decode"] == 1
    assert sum(report["labels"].values()) == 8
    assert report["policy"]
    assert "broken.png" in done.stderr
    rows = [json.loads(row) for row in log.read_text().splitlines() if '"event"' not in row]
    assert len(rows) == 8
    assert all(row["views"] == ["identity"] and not row["late"] for row in rows)
    assert cv2.VideoCapture(str(video)).get(cv2.CAP_PROP_FRAME_COUNT) == 8


@pytest.mark.slow
def test_tables_for_people(exported: tuple[Path, Manifest], folder: Path) -> None:
    done = invoke("run", exported[0], "--source", folder / "test" / "red", "--engine", "onnx", "--limit", 3)
    assert done.exit_code == 0
    assert "decision p50 / p90 / p99 ms" in done.stdout
    doctor = invoke("doctor")
    assert doctor.exit_code == 0
    assert all(
        name in doctor.stdout for name in ("engine openvino", "engine onnx", "cv2 GStreamer", "int8 on this cpu")
    )
    assert json_of(invoke("doctor", "--json"))["device"]["cores"] >= 1
