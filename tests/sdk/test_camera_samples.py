"""The samples that watch a camera, find objects in its frames, or send decisions elsewhere."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import cv2
import numpy as np
import onnx
import pytest
from mqtt_broker import Listener, broker
from onnx.numpy_helper import from_array
from sample_runs import SAMPLES, run_sample
from sites import write_video

from allweather.runtimes.bundle.bundle import Bundle
from allweather.runtimes.bundle.manifest import Manifest

FAKES = Path(__file__).parents[1] / "fakes"


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
@pytest.mark.parametrize("log_is_a_folder", [False, True])
def test_camera_service(log_is_a_folder: bool, sample_bundle: Path, tmp_path: Path) -> None:
    write_video(tmp_path / "x.avi", 4000)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    if log_is_a_folder:
        (tmp_path / "camera-1.jsonl").mkdir()
    command = [sys.executable, SAMPLES / "camera_service.py", sample_bundle, str(port), "x.avi", "x.avi"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as running:
        if not log_is_a_folder:
            wait_for_decisions(port, ("camera-0", "camera-1"))
            running.send_signal(signal.SIGTERM)
        _, errors = running.communicate(timeout=60)
    assert running.returncode == (75 if log_is_a_folder else 0)
    assert ("camera-1: cannot write" in errors) == log_is_a_folder
    assert "Traceback" not in errors
    assert (tmp_path / "camera-0.jsonl").is_file()


@pytest.mark.end_to_end
def test_camera_service_tells_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = [sys.executable, SAMPLES / "camera_service.py", "my.aw", port, "x.avi"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: "), done.stderr
    assert done.stderr.endswith("Address already in use\n")


def wait_for_decisions(port: int, cameras: tuple[str, ...]) -> None:
    """Waits until the metrics at a port count decisions of all cameras."""
    text, until = "", time.monotonic() + 60
    while not all(f'decisions_total{{camera="{camera}"' in text for camera in cameras):
        assert time.monotonic() < until, text
        time.sleep(0.1)
        with suppress(URLError), urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as page:
            text = page.read().decode()


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
