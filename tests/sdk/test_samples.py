from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from mqtt_broker import Listener, broker
from onnx.numpy_helper import from_array
from onnx_graphs import Form, build, fitted_head
from typer.main import get_command

import allweather
from allweather.cli.app import app
from allweather.exporters.serving.repository import write_repository
from allweather.runtimes.bundle.bundle import Bundle
from allweather.runtimes.bundle.manifest import Manifest
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.data.files.lists import find_list

SAMPLES = Path(__file__).parents[2] / "samples"
FAKES = Path(__file__).parents[1] / "fakes"


def run_sample(name: str, *arguments: object) -> str:
    """Runs a sample in a process of its own; returns what it prints."""
    command = [sys.executable, "-W", "error::DeprecationWarning:__main__", str(SAMPLES / name), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.end_to_end
def test_decide(exported: tuple[Path, Manifest], folder: Path) -> None:
    output = run_sample("decide.py", exported[0], folder / "test" / "green" / "000.png")
    assert output.startswith(("blue", "green", "red"))
    for arguments, message in (
        ([], "usage: python decide.py BUNDLE IMAGE"),
        (["b", "no.png"], "cannot read an image from no.png"),
    ):
        line = [sys.executable, str(SAMPLES / "decide.py"), *arguments]
        done = subprocess.run(line, capture_output=True, text=True, timeout=200, check=False)
        assert done.returncode == 1
        assert message in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.end_to_end
def test_watch(exported: tuple[Path, Manifest], tmp_path: Path) -> None:
    video = tmp_path / "red.avi"
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter.fourcc(*"MJPG"), 30, (64, 64))
    for _ in range(5):
        writer.write(np.full((64, 64, 3), (40, 40, 190), np.uint8))
    writer.release()
    assert len(run_sample("watch.py", exported[0], video).splitlines()) == 5


def write_detector(path: Path, outputs: dict[str, np.ndarray]) -> None:
    """Writes an ONNX detector for images of 100 x 50 pixels that finds the same in every image."""
    nodes = [onnx.helper.make_node("Constant", [], [name], value=from_array(value)) for name, value in outputs.items()]
    image = onnx.helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, [1, 3, 50, 100])
    found = [
        onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
        for name, value in outputs.items()
    ]
    graph = onnx.helper.make_graph(nodes, "detector", [image], found)
    onnx.save(onnx.helper.make_model(graph, ir_version=8, opset_imports=[onnx.helper.make_opsetid("", 17)]), path)


@pytest.mark.end_to_end
@pytest.mark.parametrize("library", ["torchvision", "ultralytics"])
def test_detect(library: str, exported: tuple[Path, Manifest], tmp_path: Path) -> None:
    corners = np.float32([[0, 0, 50, 50], [50, 0, 100, 50], [51, 0, 100, 50], [0, 0, 9, 9]])
    scores = np.float32([0.6, 0.9, 0.8, 0.1])  # the third is the second once more, and the fourth is too uncertain
    if library == "torchvision":
        write_detector(tmp_path / "detector.onnx", {"boxes": corners, "labels": np.ones(4, np.int64), "scores": scores})
    else:
        centers = np.concatenate([(corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]], 1)
        write_detector(tmp_path / "detector.onnx", {"output0": np.concatenate([centers.T, scores[None]])[None]})
    (tmp_path / "frames").mkdir()
    frame = np.zeros((100, 200, 3), np.uint8)
    frame[:, :100], frame[:, 100:] = (40, 40, 190), (190, 40, 40)  # red beside blue, as OpenCV orders the channels
    cv2.imwrite(str(tmp_path / "frames" / "0.png"), frame)
    first, second = run_sample("detect.py", exported[0], tmp_path / "detector.onnx", tmp_path / "frames").splitlines()
    assert first.split()[1:4] == ["100,0", "100x100", "blue"]
    assert second.split()[1:4] == ["0,0", "100x100", "red"]


@pytest.mark.end_to_end
def test_track(exported: tuple[Path, Manifest], tmp_path: Path) -> None:
    video = tmp_path / "moving.avi"
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter.fourcc(*"MJPG"), 30, (160, 120))
    noise = np.random.default_rng(0).integers(0, 60, (120, 160, 3), np.uint8)
    for index in range(25):
        frame = noise.copy()
        if index:
            frame[40:80, 2 * index : 2 * index + 40] = (40, 40, 190)
        writer.write(frame)
    writer.release()
    lines = [line.split() for line in run_sample("track.py", exported[0], video).splitlines()]
    tracks = {int(line[2]) for line in lines if line[3] == "red"}
    assert len(lines) >= 12
    assert len(tracks) >= 2, "a detection begins a new track"


@pytest.mark.end_to_end
def test_mqtt(sample_bundle: Path, folder: Path, tmp_path: Path) -> None:
    source = folder / "test" / "green"
    count = len(list(source.iterdir()))
    with broker(tmp_path) as started, Listener(started) as heard:
        output = run_sample("mqtt.py", sample_bundle, source, started.address)
        assert len(output.splitlines()) == count
        heard.wait("site/gate/availability", "offline")
        assert heard.indices("site/gate/decision") == [*range(count)]


@pytest.mark.end_to_end
def test_ros2_publisher(sample_bundle: Path, folder: Path) -> None:
    """There is no ROS 2 here: what is published is read from a fake of it, which says nothing of the real one."""
    source = folder / "test" / "green"
    command = [sys.executable, str(FAKES / "fake_ros2.py"), str(SAMPLES / "ros2_publisher.py"), str(sample_bundle)]
    done = subprocess.run([*command, str(source), "gate"], capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    first, *messages, last, end = done.stdout.splitlines()
    assert (first, last, end) == ("init", "destroyed", "shutdown")
    assert len(messages) == len(list(source.iterdir()))
    for topic, message in map(json.loads, messages):
        assert topic == "gate"
        assert 90 < message["header"]["stamp"] < 100  # the clock shows 100, and the frame is older
        (found,) = message["detections"]
        assert found["bbox"] == {"center": {"position": {"x": 20.0, "y": 16.0}}, "size_x": 40.0, "size_y": 32.0}
        assert found["results"][0]["hypothesis"]["class_id"] in Bundle.open(sample_bundle).classes


@pytest.mark.end_to_end
def test_own_onnx(dataset: Dataset, folder: Path, tmp_path: Path) -> None:
    head = fitted_head(dataset.train.images.numpy(), dataset.train.labels.numpy())
    onnx.save(build(Form(batch=1, ending="Softmax"), head), tmp_path / "their.onnx")
    output = run_sample("own_onnx.py", tmp_path / "their.onnx", folder, tmp_path / "out")
    assert "onnx fp32: as the file on 100.0 % of images" in output
    assert re.search(r"^blue \d+%, views \S+, \S+; tuned: ", output, re.MULTILINE)


@pytest.mark.end_to_end
def test_train(folder: Path, tmp_path: Path) -> None:
    output = run_sample("train.py", folder, tmp_path / "colors.aw")
    assert "openvino fp32" in output  # and the fastest other model, which on a busy machine may be any
    (error,) = re.findall(r"error on corrupted images (0\.\d+)", output)
    assert float(error) < 0.6, "the model learned nothing: it predicts one class for every image"
    assert (tmp_path / "colors.aw" / "manifest.json").is_file()


@pytest.mark.slow
def test_research_losses() -> None:
    before, after = (
        dict(re.findall(r"(\w+) (0\.\d+)", line)) for line in run_sample("research_losses.py").splitlines()
    )
    assert float(before["clean"]) > 0.3, "the network learned next to nothing before it is finetuned"
    assert float(after["dark"]) > float(before["dark"]) + 0.03
    assert float(after["clean"]) > float(before["clean"]) - 0.05


@pytest.mark.slow
def test_research_corruptions() -> None:
    *rows, last = run_sample("research_corruptions.py").splitlines()
    errors = {row.split()[0]: [float(each) for each in re.findall(r"0\.\d+", row)] for row in rows}
    assert errors["fog"][1] < errors["fog"][0], "training in fog did not help in fog"
    mce = 100 * sum(robust / plain for plain, robust in errors.values()) / len(errors)
    assert float(last.split()[-2]) == pytest.approx(mce, abs=0.3)


@pytest.mark.end_to_end
def test_research_tta() -> None:
    names = ("resnet20-fma-ca-0.safetensors", "predictor-published-resnet20.safetensors")
    first, *others = run_sample("research_tta.py", *(SAMPLES / "checkpoints" / name for name in names)).splitlines()
    assert float(first.split()[4]) < 1e-5
    assert [line.split()[1] for line in others[:-1]] == ["mean:", "gmean:", "sum:", "max:", "min:", "tsharpen:"]


@pytest.mark.slow
def test_research_predictor() -> None:
    contrast, noise = run_sample("research_predictor.py").splitlines()
    one_view, ranked = (float(each) for each in re.findall(r"0\.\d+", contrast))
    assert ranked > one_view + 0.05
    one_view, ranked = (float(each) for each in re.findall(r"0\.\d+", noise))
    assert ranked > one_view - 0.05


@pytest.mark.end_to_end
def test_ask_server(sample_bundle: Path, folder: Path, tmp_path: Path, serve: Callable[[Path], Any]) -> None:
    write_repository(Bundle.open(sample_bundle), "ovms", tmp_path / "repository")
    image = folder / "test" / "green" / "000.png"
    with serve(tmp_path / "repository") as server:
        line = run_sample("ask_server.py", sample_bundle, server.address, 5000, image)
        assert line.split()[1] in Bundle.open(sample_bundle).classes
        assert " views (" in line
        server.faults.delay = 0.2
        line = run_sample("ask_server.py", sample_bundle, server.address, 100, image)
        assert "no response within the budget (127.0.0.1:" in line


@pytest.mark.end_to_end
def test_jetson_check(tmp_path: Path) -> None:
    """Without a GPU the sample prints one line that says what is missing, and writes the rest into the report."""
    command = [sys.executable, str(SAMPLES / "jetson_check.py"), str(SAMPLES / "bundles" / "cifar10-resnet20")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False, cwd=tmp_path)
    assert done.returncode == 1
    assert len(done.stdout.splitlines()) == 1, done.stdout + done.stderr
    assert "nothing to build with" in done.stdout
    report = json.loads((tmp_path / "jetson-report.json").read_text())
    assert report["doctor"]["result"]["device"]["cores"] >= 1
    assert report["build"]["result"] is None


@pytest.mark.end_to_end
def test_archive_with_ray(sample_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The decisions are those of a perceiver; what cannot be read is a row; no process is left; the list trains."""
    pytest.importorskip("ray", reason="Ray is not installed: the decisions of a pool of actors were not checked")
    import pyarrow.parquet

    archive, frames = tmp_path / "archive", list(Bundle.open(sample_bundle).golden_frames())
    archive.mkdir()
    for index, frame in enumerate(frames):
        cv2.imwrite(str(archive / f"{index:03}.png"), frame[..., ::-1])
    (archive / "damaged.jpg").write_bytes(b"\xff\xd8\xff no image")
    (archive / "gone.png").symlink_to("nowhere")
    out, prepared = tmp_path / "decisions", tmp_path / "prepared.csv"
    monkeypatch.setenv("HOME", str(tmp_path))  # where Ray keeps a token of its own
    with tempfile.TemporaryDirectory(prefix="ray") as folder:  # short, as Ray puts sockets into it
        monkeypatch.setenv("RAY_TMPDIR", folder)
        options = ("--out", out, "--actors", 2, "--list", prepared, "--least", 0.5)
        output = run_sample("archive_with_ray.py", archive, *options)
        left = [path.parent for path in Path("/proc").glob("[0-9]*/cmdline") if folder in command_line(path)]
    assert not left, "processes of Ray outlived the sample"
    assert f"{len(frames) + 2} images in " in output
    assert "; 2 could not be read" in output

    rows = {Path(row["path"]).name: row for row in pyarrow.parquet.read_table(out).to_pylist()}
    with allweather.load(sample_bundle, threads=1) as perceiver:
        decisions = perceiver.batch(frames)
    assert len(rows) == len(frames) + 2
    for index, decision in enumerate(decisions):
        row = rows[f"{index:03}.png"]
        assert (row["label"], row["reason"]) == (decision.label, None)
        assert row["confidence"] == pytest.approx(decision.confidence, abs=1e-5)
    assert rows["damaged.jpg"]["label"] is None
    assert rows["damaged.jpg"]["reason"] == "it is damaged, cut off or not an image; remove or replace it"
    assert rows["gone.png"]["reason"] == "No such file or directory"

    confident = {f"{index:03}.png": each.label for index, each in enumerate(decisions) if each.confidence >= 0.5}
    listed = find_list(prepared).splits["train"].classes
    assert {image.path.name: label for label, files in listed.items() for image in files.images} == confident


def command_line(path: Path) -> str:
    """The command line of a process; empty if it has ended."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


@pytest.mark.end_to_end
def test_archive_with_ray_names_what_is_wrong_before_ray_starts(sample_bundle: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="Ray is not installed: the messages of the sample that uses it were not checked")
    (tmp_path / "image.png").write_bytes(b"\x89PNG")
    empty = tmp_path / "empty"
    empty.mkdir()
    for arguments, message in (
        ([empty, "--out", tmp_path / "out"], "error: there is no image in "),
        (
            [tmp_path / "image.png", "--out", tmp_path / "out"],
            "image.png is no folder, Parquet file with a column path",
        ),
        ([tmp_path, "--out", tmp_path], "is not empty; --out names a new folder"),
        ([tmp_path, "--out", tmp_path / "image.png"], "File exists"),
        ([tmp_path, "--out", tmp_path / "out", "--bundle", empty], "error: "),
        ([tmp_path, "--out", tmp_path / "out", "--list", tmp_path / "no" / "list.csv"], "in a folder that is there"),
    ):
        line = [sys.executable, str(SAMPLES / "archive_with_ray.py"), *map(str, arguments)]
        done = subprocess.run(line, capture_output=True, text=True, timeout=200, check=False)
        assert done.returncode, done.stdout
        assert message in done.stderr
        assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_the_systemd_unit_uses_only_known_options() -> None:
    text = (SAMPLES / "deploy" / "allweather.service").read_text().replace("\\\n", " ")
    (line,) = (line for line in text.splitlines() if line.startswith("ExecStart="))
    run: Any = get_command(app)
    known_options = {option for parameter in run.commands["run"].params for option in parameter.opts}
    used_options = {word for word in line.split() if word.startswith("--")}
    assert "--serve" in used_options
    assert used_options <= known_options


def test_every_sample_is_tested() -> None:
    names = {path.stem for path in SAMPLES.glob("*.py")}
    assert names == {name.removeprefix("test_") for name in globals() if name.startswith("test_")} - {
        "archive_with_ray_names_what_is_wrong_before_ray_starts",
        "every_sample_is_tested",
        "the_first_python_lines_of_the_readme_read_the_sign_in_the_snow",
        "the_systemd_unit_uses_only_known_options",
    }
    assert names


@pytest.mark.slow
def test_the_first_python_lines_of_the_readme_read_the_sign_in_the_snow() -> None:
    """They run as they stand, in the root of the repository."""
    readme = (SAMPLES.parent / "README.md").read_text()
    code = readme.split("```python\n", 1)[1].split("```", 1)[0]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=SAMPLES.parent, capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("crossing")
