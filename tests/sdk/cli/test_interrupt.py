"""Ctrl-C ends every command with exit code 130, and nothing is left half-written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from commands import run_python, start

from allweather.runtimes.bundle.manifest import Manifest


@pytest.mark.end_to_end
def test_ctrl_c_within_an_exec_ends_with_the_same_code(tmp_path: Path) -> None:
    """Python itself ended by the signal, as a Ctrl-C during imports often comes within a dataclass's exec."""
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


@pytest.mark.end_to_end
@pytest.mark.parametrize("command", ["train", "export", "evaluate", "run", "demo"])
def test_ctrl_c_ends_with_130_and_leaves_nothing_half_written(
    command: str, folder: Path, tmp_path: Path, exported: tuple[Path, Manifest], plain: Path
) -> None:
    data, out, video = f"folder:{folder}", tmp_path / "out", tmp_path / "long.avi"
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter.fourcc(*"MJPG"), 30, (64, 64))
    for _ in range(20_000 if command == "run" else 1):
        writer.write(np.zeros((64, 64, 3), np.uint8))
    writer.release()
    lines = {
        "train": f"--data {data} --size 32 --arch resnet56 --epochs 99 --out {out}/x.safetensors",
        "export": f"{plain} --data {data} --out {out}/x.aw",
        "evaluate": f"{plain} --data {data} --corrupted generate --out {out}/report",
        "run": f"{exported[0]} --source {video} --jsonl {out}/x.jsonl --video {out}/x.mp4",
        "demo": f"--out {out}/demo",
    }
    running = start(command, *lines[command].split())
    if command == "run":  # interrupted while it writes
        while not (out / "x.jsonl").exists():
            time.sleep(0.02)
        time.sleep(0.5)
    else:
        time.sleep(5)
    running.send_signal(signal.SIGINT)
    _, messages = running.communicate(timeout=60)
    assert running.returncode == 130, messages
    assert "Traceback" not in messages
    written = [path for path in out.rglob("*") if path.is_file()] if out.exists() else []
    finished_cells = [path for path in written if out / ".report.cells" in path.parents]
    for path in finished_cells:
        assert len(np.load(path)) == 24  # images; a cell is there as a whole, and the next run uses it
    assert {path.name for path in written if path not in finished_cells} <= {
        "x.jsonl", "x.mp4", ".x.safetensors.resume", "settings.json", ".plain.safetensors.resume", "demo.json"
    }  # fmt: skip
    if command == "run":
        lines = (out / "x.jsonl").read_text().splitlines()
        rows = [line for line in lines if '"event"' not in line]
        assert cv2.VideoCapture(str(out / "x.mp4")).get(cv2.CAP_PROP_FRAME_COUNT) == len(rows)


@pytest.mark.parametrize("code", [128 + signal.SIGINT, 128 + signal.SIGTERM])
@pytest.mark.slow
def test_a_thread_that_is_still_in_a_library_does_not_crash_the_end(code: int) -> None:
    program = (
        "import atexit, os, sys, threading, time\n"
        "import allweather.cli.app\n"
        "def interrupted():\n"
        "    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"
        "    print('a result')\n"
        f"    sys.exit({code})\n"
        "allweather.cli.app.app = interrupted\n"
        "atexit.register(os.abort)\n"  # as OpenVINO does while it compiles
        "allweather.cli.main()\n"
    )
    done = run_python(program)
    assert (done.returncode, done.stdout) == (code, "a result\n"), done.stderr
