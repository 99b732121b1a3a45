from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from allweather.cli.app import app
from allweather.runtimes.bundle.manifest import Manifest
from allweather.trainers.checkpoint.checkpoint import Checkpoint, load_checkpoint, save_checkpoint


def run(*arguments: object) -> Result:
    """The command line in this process; what it would have printed is in the result."""
    return CliRunner().invoke(app, list(map(str, arguments)))


def answer(result: Result) -> dict[str, object]:
    """The one JSON object on stdout."""
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_from_pictures_to_decisions(folder: Path, tmp_path: Path) -> None:
    data, trained, bundle = f"folder:{folder}", tmp_path / "c.safetensors", tmp_path / "c.aw"
    line = ["train", "--data", data, "--arch", "resnet20", "--size", 32, "--epochs", 1, "--batch", 20, "--out", trained]
    assert answer(run(*line, "--json"))["val_accuracy"] >= 0.3
    done = answer(run("export", trained, "--data", data, "--out", bundle, "--engine", "openvino", "--json"))
    assert "fp32" in {model["precision"] for model in done["models"]}
    assert {model["precision"] for model in (*done["models"], *done["rejected"])} >= {"fp32", "int8"}
    alone = answer(run("evaluate", trained, "--data", data, "--out", tmp_path / "t", "--json"))
    assert (tmp_path / "t" / "training.png").is_file()
    there = answer(run("evaluate", bundle, "--data", data, "--precision", "fp32", "--out", tmp_path / "r", "--json"))
    assert alone["accuracy"] == there["accuracy"]
    assert alone["confusion"] == there["confusion"]
    assert {path.name for path in (tmp_path / "r").iterdir()} == {
        "report.html", "result.json", "confusion.png", "reliability.png",
    }  # fmt: skip
    pictures = tmp_path / "pictures"
    shutil.copytree(folder / "test" / "red", pictures)
    (pictures / "broken.png").write_bytes(b"\x89PNG but not really")
    log, video = tmp_path / "d.jsonl", tmp_path / "d.mp4"
    seen = run("run", bundle, "--source", pictures, "--jsonl", log, "--video", video, "--budget-ms", 5000, "--json")
    assert answer(seen)["decided"] == 8
    assert answer(seen)["report"]["drops"]["decode"] == 1
    assert sum(answer(seen)["seen"].values()) == 8
    assert answer(seen)["policy"]
    assert "broken.png" in seen.stderr
    rows = [json.loads(row) for row in log.read_text().splitlines()]
    assert len(rows) == 8
    assert all(row["views"] == ["identity"] and not row["late"] for row in rows)
    assert cv2.VideoCapture(str(video)).get(cv2.CAP_PROP_FRAME_COUNT) == 8


def test_networks_learn_together(folder: Path, tmp_path: Path) -> None:
    line = ["train", "--data", f"folder:{folder}", "--size", 32, "--epochs", 2, "--batch", 20, "--method", "multi-ait"]
    line += [
        "--arch",
        "resnet20",
        "--arch",
        "mobilenetv2",
        "--variants",
        "rp,rpg",
        "--fraction",
        0.9,
        "--label-noise",
        0.1,
    ]
    done = run(*line, "--out", tmp_path / "c.safetensors", "--json")
    assert "108 of 120 training images are used" in done.stderr
    assert "11 of 108 training labels are random" in done.stderr
    made = answer(done)["networks"]
    assert isinstance(made, list)
    assert [each["arch"] for each in made] == ["resnet20", "mobilenetv2"]
    for each, name in zip(made, ("c", "c-2"), strict=True):
        assert each["checkpoint"] == str(tmp_path / f"{name}.safetensors")
        loaded = load_checkpoint(Path(each["checkpoint"]))
        assert loaded.settings["train_images"] == 108
        assert "11 of 108 training labels are random" in loaded.settings["notes"][-1]
        assert loaded.metrics["val_accuracy"] == each["val_accuracy"]
        assert loaded.settings["joint_archs"] == ["resnet20", "mobilenetv2"]
        assert (loaded.settings["method"], loaded.settings["weight"]) == ("multi-ait", 3.0)
        assert loaded.history[-1]["val_accuracy"] == loaded.metrics["val_accuracy"]  # its own
    twins = ["--arch", "resnet20", "--arch", "resnet20", "--method", "dml", "--epochs", 1]
    shown = run("train", "--data", f"folder:{folder}", "--size", 32, *twins, "--out", tmp_path / "d.safetensors")
    assert shown.stdout.count("resnet20") == 2
    assert (tmp_path / "d-2.safetensors").is_file()
    judged = answer(run("evaluate", tmp_path / "c-2.safetensors", "--data", f"folder:{folder}", "--json"))
    assert judged


def test_transfer_of_a_checkpoint_beside_its_bundle(
    exported: tuple[Path, Manifest], checkpoint: Checkpoint, folder: Path, tmp_path: Path
) -> None:
    save_checkpoint(tmp_path / "c.safetensors", checkpoint)
    line = ["evaluate", tmp_path / "c.safetensors", exported[0], "--data", f"folder:{folder}", "--transfer"]
    told = answer(run(*line, "--out", tmp_path / "report", "--json"))["results"]
    assert isinstance(told, list)
    assert [bool(each["distances"]) for each in told] == [True, False]
    assert {path.name for path in (tmp_path / "report").iterdir()} == {
        "report.html", "result.json", "variation.png", "clusters.png",
    }  # fmt: skip
    assert "grayscale" in run(*line).stdout
    refused = run(*line, "--augmented")
    assert (refused.exit_code, "--transfer is a measurement of its own" in refused.stderr) == (2, True)


def test_tables_for_people(exported: tuple[Path, Manifest], folder: Path) -> None:
    done = run("run", exported[0], "--source", folder / "test" / "red", "--engine", "onnx", "--limit", 3)
    assert done.exit_code == 0
    assert "decision p50 / p90 / p99 ms" in done.stdout
    doctor = run("doctor")
    assert doctor.exit_code == 0
    assert all(
        name in doctor.stdout for name in ("engine openvino", "engine onnx", "cv2 GStreamer", "int8 on this cpu")
    )
    assert json.loads(run("doctor", "--json").stdout)["device"]["cores"] >= 1


def test_import(published: Path, cifar10: Path, tmp_path: Path) -> None:
    weights, out = published / "cifar10_resnet20.safetensors", tmp_path / "r.safetensors"
    line = ["import", weights, "--arch", "resnet20", "--classes", "cifar10"]
    assert answer(run(*line, "--out", out, "--json"))["classes"] == 10
    assert load_checkpoint(out).classes[9] == "truck"
    wrong = run("import", weights, "--arch", "resnet56", "--classes", "cifar10", "--out", tmp_path / "x.safetensors")
    assert wrong.exit_code == 1
    assert "name the right --arch" in wrong.stderr
    few = run("import", weights, "--arch", "resnet20", "--classes", "a,b", "--out", tmp_path / "x.safetensors")
    assert few.exit_code == 1
    assert "linear.weight has the shape [10, 64]" in few.stderr


BAD = [
    ("train --data mnist --arch resnet20 --out {tmp}/x.safetensors", 2, "unknown data set 'mnist'; write signs"),
    ("train --data folder:{tmp}/none --arch resnet20 --out {tmp}/x.safetensors", 1, "no folder {tmp}/none/train"),
    ("train --data signs --arch resnet21 --out {tmp}/x.safetensors", 2, "unknown architecture 'resnet21'"),
    ("train --data signs --arch resnet20 --out {tmp}/x.pt", 2, "a checkpoint is a .safetensors file"),
    ("train --data signs --arch resnet20 --epochs 0 --out {tmp}/x.safetensors", 2, "epochs must be at least 1; got 0"),
    ("train --data signs --arch resnet20 --method dml --out {tmp}/x.safetensors", 2, "dml trains two networks or more"),
    ("train --data signs --arch resnet20 --arch vgg16 --out {tmp}/x.safetensors", 2, "method plain trains one network"),
    ("train --data signs --arch resnet20 --variants rx --out {tmp}/x.safetensors", 2, "variants are names such as rh"),
    ("train --data signs --arch resnet20 --weight 2 --out {tmp}/x.safetensors", 2, "method plain has no AiLoss"),
    ("train --data signs --arch resnet20 --fraction 0 --out {tmp}/x.safetensors", 2, "is above 0 and at most 1; got 0"),
    ("train --data signs --arch resnet20 --label-noise 2 --out {tmp}/x.safetensors", 2, "is 0 to 1; got 2"),
    ("train --data signs --arch resnet20", 2, "Missing option '--out'"),
    ("train --data signs --arch resnet20 --devices 999 --out {tmp}/x.safetensors", 2, "--devices must be 1 to"),
    ("evaluate {tmp}/none.safetensors --data signs", 1, "no checkpoint at {tmp}/none.safetensors"),
    ("evaluate {tmp}/none.aw --data signs", 1, "no bundle at {tmp}/none.aw; check the path"),
    ("evaluate {tmp} --data signs", 1, "manifest.json is missing"),
    ("export {tmp}/none.safetensors --out {tmp}/x.aw", 1, "no checkpoint at"),
    ("export {trained} --out {tmp}/x.aw", 1, "add --data"),
    (
        "export {trained} --data folder:{folder} --out /proc/x.aw",
        1,
        "/proc/x.aw: no file can be made there",
    ),
    ("export {trained} --data folder:{folder} --out {tmp}/text.mp4/x.aw", 1, "a part of the path is a file"),
    ("train --data signs --arch resnet20 --out {tmp}/text.mp4/x.safetensors", 1, "a part of the path is a file"),
    ("evaluate {trained} --data signs --out /proc/report", 1, "cannot write /proc/report"),
    ("export {trained} --data folder:{folder} --out {taken}", 1, "it exists and holds no manifest.json"),
    ("run {tmp}/none.aw --source 0", 1, "no bundle at"),
    ("run {bundle} --source {tmp}/none.mp4", 1, "none.mp4"),
    ("run {bundle} --source {tmp}", 1, "{tmp}"),
    ("run {bundle} --source {folder}/test/red --page x", 2, "--page is [HOST:]PORT with a port up to 65535"),
    ("run {bundle} --source {folder}/test/red --page 0.0.0.0:0", 2, "can be seen by others and needs a token"),
    ("run {bundle} --source {folder}/test/red --threads 0", 2, "threads are a number >= 1; got 0"),
    ("run {bundle} --source {folder}/test/red --jsonl-mb 0", 2, "--jsonl-mb is a number of megabytes above 0"),
    ("run {bundle} --source {text} --source {text} --show", 2, "--show opens one window"),
    ("bench {bundle} --looks 0", 2, "--looks is a list of numbers from 1 to 12"),
    ("bench {bundle} --frames 0", 2, "--frames is a number >= 1; got 0"),
    ("bench {bundle} --source {tmp}", 1, "{tmp}"),
    ("bench {tmp}/none.aw", 1, "no bundle at"),
    ("run {bundle} --source {text}", 1, "text.mp4"),
    ("run {bundle} --source {folder}/test/red --region 0,0,900,900", 2, "reaches outside the frame of 40 x 32 pixels"),
    ("run {bundle} --source {folder}/test/red --region 1,2,3", 2, "--region is x,y,width,height in pixels"),
    ("run {bundle} --source {folder}/test/red --budget-ms 0", 2, "a budget is above 0 milliseconds; got 0"),
    ("run {bundle} --source {folder}/test/red --limit 0", 2, "limit"),
    ("run {bundle} --source {text} --video {text}", 2, "text.mp4 is a source itself; name another file"),
    ("run {bundle} --source {tmp}/a-0.mp4 --source {text} --video {tmp}/a.mp4", 2, "a-0.mp4 is a source itself"),
    ("bench {bundle} --out {text}", 2, "--out is a folder for the report"),
    ("run {tmp}/trained.safetensors --source 0", 1, "is a checkpoint; make a bundle of it"),
    ("run {bundle} --source {folder}/test/red --video {tmp}/x.gif", 2, "a video is written as .mp4"),
    ("run {bundle} --source {folder}/test/red --jsonl {tmp}/text.mp4/x.jsonl", 1, "cannot write"),
    (
        "train --data signs --arch resnet20 --seed -1 --out {tmp}/x.safetensors",
        2,
        "should be greater than or equal to 0",
    ),
    ("demo --epochs 0 --out {tmp}/demo", 2, "epochs must be at least 1"),
    ("demo --frames 0 --out {tmp}/demo", 2, "frames must be at least 1"),
]


@pytest.mark.parametrize(("line", "code", "message"), BAD, ids=[f"{line[:60]}" for line, _, _ in BAD])
def test_bad_input_gets_one_clear_line(
    line: str, code: int, message: str, tmp_path: Path, folder: Path, exported: tuple[Path, Manifest],
    checkpoint: Checkpoint,
) -> None:  # fmt: skip
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "holiday.jpg").write_bytes(b"precious")
    for name in ("text.mp4", "a-0.mp4"):
        (tmp_path / name).write_text("no video")
    save_checkpoint(tmp_path / "trained.safetensors", checkpoint)
    before = sorted(tmp_path.rglob("*"))
    words = {
        "tmp": tmp_path, "folder": folder, "bundle": exported[0], "taken": taken,
        "trained": tmp_path / "trained.safetensors", "text": tmp_path / "text.mp4",
    }  # fmt: skip
    result = run(*line.format(**words).split())
    said = re.sub(r"[│╭╮╰╯─]", "", result.stderr)
    assert result.exit_code == code, said
    assert message.format(**words) in said
    assert "Traceback" not in said
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert sorted(tmp_path.rglob("*")) == before, "something was left behind"


def test_ctrl_c_within_an_exec_ends_with_the_same_code(tmp_path: Path) -> None:
    """Python itself ended by the signal, as a Ctrl-C during imports often does come within a dataclass's exec."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sys, types\n"
        "def app():\n"
        "    try:\n"
        "        exec('raise KeyboardInterrupt')\n"
        "    except KeyboardInterrupt:\n"
        "        sys.exit(130)\n"
        "sys.modules['allweather.cli.app'] = types.SimpleNamespace(app=app)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    assert subprocess.run([sys.executable, "-m", "allweather.cli"], env=environment).returncode == 130


@pytest.mark.parametrize("command", ["train", "export", "evaluate", "run", "demo"])
def test_ctrl_c_ends_with_130_and_leaves_nothing_half_written(
    command: str, folder: Path, tmp_path: Path, exported: tuple[Path, Manifest], checkpoint: Checkpoint
) -> None:
    trained, data = tmp_path / "trained.safetensors", f"folder:{folder}"
    save_checkpoint(trained, checkpoint)
    video = tmp_path / "long.avi"
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter.fourcc(*"MJPG"), 30, (64, 64))
    for _ in range(20_000 if command == "run" else 1):
        writer.write(np.zeros((64, 64, 3), np.uint8))
    writer.release()
    out = tmp_path / "out"
    lines = {
        "train": f"--data {data} --size 32 --arch resnet56 --epochs 99 --out {out}/x.safetensors",
        "export": f"{trained} --data {data} --out {out}/x.aw",
        "evaluate": f"{trained} --data signs --out {out}/report",
        "run": f"{exported[0]} --source {video} --jsonl {out}/x.jsonl --video {out}/x.mp4",
        "demo": f"--out {out}/demo",
    }
    words = [sys.executable, "-m", "allweather.cli", command, *lines[command].split()]
    running = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if command == "run":  # interrupted while it writes
        while not (out / "x.jsonl").exists():
            time.sleep(0.02)
        time.sleep(0.5)
    else:
        time.sleep(5)
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=60)
    assert running.returncode == 130, said
    assert "Traceback" not in said
    left = {path.name for path in out.rglob("*") if path.is_file()} if out.exists() else set()
    assert left <= {"x.jsonl", "x.mp4", ".x.safetensors.resume", ".signs.safetensors.resume"}
    if command == "run":
        rows = (out / "x.jsonl").read_text().splitlines()
        assert cv2.VideoCapture(str(out / "x.mp4")).get(cv2.CAP_PROP_FRAME_COUNT) == len(rows)
