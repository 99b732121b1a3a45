"""How `allweather run` ends: a lost terminal, a reader that has gone, a camera that never comes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from commands import invoke, start

from allweather.runtimes.bundle.manifest import Manifest

RUN = (sys.executable, "-m", "allweather.cli", "run")


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "12:30.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 30, (64, 64))
    for _ in range(2000):
        writer.write(np.zeros((64, 64, 3), np.uint8))
    writer.release()
    return path


@pytest.mark.end_to_end
@pytest.mark.parametrize("with_nohup", [False, True])
def test_a_lost_terminal_ends_in_good_order_unless_it_is_ignored(
    with_nohup: bool, exported: tuple[Path, Manifest], video: Path, tmp_path: Path
) -> None:
    log, film = tmp_path / "out" / "log.jsonl", tmp_path / "out" / "seen.mp4"
    arguments = [str(exported[0]), "--source", str(video), "--live", "--jsonl", str(log), "--video", str(film)]
    if with_nohup:
        running = subprocess.Popen(
            ["/usr/bin/nohup", *RUN, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
    else:
        running = start("run", *arguments)
    while not log.exists() or log.read_bytes().count(b"\n") < 5:
        assert running.poll() is None
        time.sleep(0.02)
    running.send_signal(signal.SIGHUP)
    if with_nohup:
        lines = log.read_bytes().count(b"\n")
        while log.read_bytes().count(b"\n") < lines + 5:
            assert running.poll() is None
            time.sleep(0.02)
        running.send_signal(signal.SIGTERM)
    _, messages = running.communicate(timeout=30)
    assert running.returncode == 128 + (signal.SIGTERM if with_nohup else signal.SIGHUP), messages
    assert "Traceback" not in messages
    assert sorted(path.name for path in film.parent.iterdir()) == ["log.jsonl", "seen.mp4"]
    assert cv2.VideoCapture(str(film)).get(cv2.CAP_PROP_FRAME_COUNT) == log.read_bytes().count(b"\n")


@pytest.mark.end_to_end
@pytest.mark.parametrize("name", ["-", "/dev/stdout", "PIPE"])
def test_a_reader_that_has_gone_ends_the_run(
    name: str, exported: tuple[Path, Manifest], video: Path, tmp_path: Path
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    arguments = ["--source", str(video), "--live", "--jsonl", str(pipe) if name == "PIPE" else name]
    running = subprocess.Popen(
        [*RUN, str(exported[0]), *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path
    )
    assert running.stdout is not None
    assert running.stderr is not None
    if name == "PIPE":
        os.set_blocking(reader, True)
        while not (line := os.read(reader, 4096)):
            time.sleep(0.02)
    else:
        line = running.stdout.readline()
    os.close(reader)
    running.stdout.close()
    messages = running.stderr.read()
    running.stderr.close()
    assert running.wait(20) == 1
    assert messages == b""
    assert json.loads(line.splitlines()[0])["source"] == str(video)
    assert not (tmp_path / "-").exists()


@pytest.mark.slow
def test_the_log_on_stdout_is_all_that_is_there(exported: tuple[Path, Manifest], tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    image = cv2.imencode(".png", np.zeros((64, 64, 3), np.uint8))[1].tobytes()
    (folder / "a.png").write_bytes(image)
    (folder / "b.png").write_bytes(image[:100])
    (folder / "c.png").write_bytes(image)
    done = subprocess.run(
        [*RUN, str(exported[0]), "--source", str(folder), "--jsonl", "-"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["file"] for line in done.stdout.splitlines()] == ["a.png", "c.png"]
    assert "b.png" in done.stderr


def test_two_outputs_on_stdout_are_refused(sample_bundle: Path, tmp_path: Path) -> None:
    result = invoke("run", sample_bundle, "--source", tmp_path, "--jsonl", "-", "--json")
    assert result.exit_code == 2
    assert "error: --json and --jsonl - both write to stdout; leave one of them out" in result.stderr


@pytest.mark.slow
def test_a_camera_that_never_comes_ends_the_run_where_a_wait_is_given(exported: tuple[Path, Manifest]) -> None:
    result = invoke("run", exported[0], "--source", "/dev/video99", "--limit", "1", "--wait", "0.5")
    assert result.exit_code == 1
    assert "there is no camera /dev/video99" in result.stderr
    assert "(waited for 0.5 s)" in result.stderr


@pytest.mark.end_to_end
def test_no_file_takes_the_place_of_a_closed_stream(exported: tuple[Path, Manifest], video: Path) -> None:
    line = [*RUN, str(exported[0]), "--source", str(video), "--limit", "2", "--jsonl", "-"]
    done = subprocess.run(["/bin/sh", "-c", 'exec "$@" >&-', "sh", *line], stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (1, "error: cannot write stdout: it is closed; name a file\n")


@pytest.mark.slow
def test_neither_the_bundle_nor_a_source_is_written(exported: tuple[Path, Manifest], tmp_path: Path) -> None:
    bundle = shutil.copytree(exported[0], tmp_path / "copy.aw")
    manifest, folder = (bundle / "manifest.json").read_bytes(), tmp_path / "images"
    folder.mkdir()
    cv2.imwrite(str(folder / "a.png"), np.zeros((8, 8, 3), np.uint8))
    for written, said in (
        (bundle / "manifest.json", "is in the bundle"),
        (bundle / "log.jsonl", "is in the bundle"),
        (folder / "a.png", "is a source itself"),
    ):
        result = invoke("run", bundle, "--source", folder, "--jsonl", written)
        assert (result.exit_code, said in result.stderr) == (2, True), result.stderr
    assert (bundle / "manifest.json").read_bytes() == manifest
    assert invoke("run", bundle, "--source", folder, "--jsonl", folder / "log.jsonl").exit_code == 0


@pytest.mark.slow
def test_an_empty_address_of_the_page_is_refused(exported: tuple[Path, Manifest], video: Path) -> None:
    result = invoke("run", exported[0], "--source", video, "--limit", 1, "--serve", "")
    assert (result.exit_code, "--serve is [HOST:]PORT" in result.stderr) == (2, True)
