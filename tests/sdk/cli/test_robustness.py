from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from allweather.cli.app import app
from allweather.runtimes.bundle.manifest import Manifest


def run(*arguments: object) -> Result:
    """The command line in this process; what it would have printed is in the result."""
    return CliRunner().invoke(app, list(map(str, arguments)))


@pytest.fixture(scope="module")
def corrupted(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corrupted set that the command line wrote."""
    out = tmp_path_factory.mktemp("corrupted") / "set"
    options = ["--corruption", "fog", "--corruption", "jpeg_compression", "--size", 32, "--seed", 3]
    done = run("corrupt", "--data", f"folder:{folder}", *options, "--processes", 1, "--out", out, "--json")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["images"] == 24
    return out


def test_a_set_has_its_picture(corrupted: Path) -> None:
    sheet = cv2.imread(str(corrupted / "sheet.png"))
    assert sheet is not None
    assert np.ptp(sheet) > 100
    assert np.load(corrupted / "fog.npy").shape == (120, 32, 32, 3)


def test_targets_side_by_side(
    plain: Path, exported: tuple[Path, Manifest], folder: Path, corrupted: Path, tmp_path: Path
) -> None:
    line = ["evaluate", plain, exported[0], "--data", f"folder:{folder}", "--engine", "onnx", "--precision", "fp32"]
    report = tmp_path / "report"
    stored = run(*line, "--corrupted", corrupted, "--out", report, "--json")
    assert stored.exit_code == 0, stored.stderr
    one, two = json.loads(stored.stdout)["results"]
    assert (one["model"], two["model"]) == ("torch fp32", "onnx fp32")
    assert [cell["error"] for cell in one["cells"]] == [cell["error"] for cell in two["cells"]]
    assert "no baseline was named" in stored.stderr
    made = {path.name for path in report.iterdir()}
    assert {"report.html", "report.md", "result.json", "errors.png", "reliability-1.png", "reliability-2.png"} <= made
    for path in report.glob("*.png"):
        assert np.ptp(cv2.imread(str(path))) > 100
        assert path.name in (report / "report.html").read_text()
    assert "| fog | " in (report / "report.md").read_text()
    assert not list(tmp_path.glob(".report*"))
    table = run(*line, "--corrupted", corrupted)
    assert "common 15" in table.stdout
    assert "mCE" not in table.stdout  # nothing was named to compare with


def test_generated_and_stored_sets_are_the_same(plain: Path, folder: Path, corrupted: Path, tmp_path: Path) -> None:
    line = ["evaluate", plain, "--data", f"folder:{folder}", "--seed", 3, "--out", tmp_path / "r", "--json"]
    generated = run(*line, "--corrupted", "generate")
    stored = run(*line, "--corrupted", corrupted)
    (one,), (two,) = (json.loads(each.stdout)["results"] for each in (generated, stored))
    assert len(one["cells"]) == 95
    assert [cell for cell in one["cells"] if cell["corruption"] in ("fog", "jpeg_compression")] == two["cells"]
    again = run(*line[:-3], "--corrupted", "generate", "--baseline", tmp_path / "r" / "result.json", "--json")
    assert again.exit_code == 2
    assert "the baseline has no error for gaussian_noise" in again.stderr


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ("evaluate {trained} --data {data} --corrupted /nowhere", 1, "no corrupted set in /nowhere: wanted labels.npy"),
        ("evaluate {trained} --data {data} --corrupted generate --baseline resnet", 2, "no baseline 'resnet'"),
        (
            "evaluate {trained} --data {data} --corrupted generate --out {trained}",
            2,
            "--out is a folder for the report",
        ),
        ("evaluate {trained} --data cifar10:/nowhere --out {trained}", 2, "--out is a folder for the report"),
        ("evaluate {trained} {trained} --data {data}", 2, "go with --corrupted, --augmented or --transfer; add one"),
        ("evaluate {trained} --data {data} --baseline alexnet", 2, "go with --corrupted; add it"),
        ("corrupt --data {data} --corruption gausian_noise --out {tmp}/x", 2, "did you mean gaussian_noise?"),
        ("corrupt --data {data} --corruption fog,snow --out {tmp}/x", 2, "write --corruption fog --corruption snow"),
        ("corrupt --data cifar10:/nowhere --out {corrupted}", 1, "is there already; name a new folder"),
        ("corrupt --data {data} --size 8 --out {tmp}/x", 2, "--size is a side of 16 to 1024"),
        ("corrupt --data {data} --processes 0 --out {tmp}/x", 2, "--processes"),
    ],
)
def test_bad_input(
    plain: Path, folder: Path, corrupted: Path, tmp_path: Path, line: str, code: int, message: str
) -> None:
    values = {"trained": plain, "data": f"folder:{folder}", "corrupted": corrupted, "tmp": tmp_path}
    done = run(*(part.format(**values) for part in line.split()))
    assert done.exit_code == code, done.stderr
    assert message in done.stderr.replace("\n", "")
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one core: a measurement by two processes was not checked")
def test_two_processes_measure_what_one_does(plain: Path, folder: Path, corrupted: Path) -> None:
    line = [
        "-m",
        "allweather.cli",
        "evaluate",
        plain,
        "--data",
        f"folder:{folder}",
        "--corrupted",
        corrupted,
        "--json",
    ]
    quiet = {**os.environ, "PYTHONWARNINGS": "ignore"}  # torch's launcher warns of threads it sets itself
    found = []
    for start in (
        [*line],
        [*line, "--devices", "2"],
        ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *line],
    ):
        command = [sys.executable, *map(str, start)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=150, env=quiet, check=False)
        assert done.returncode == 0, done.stderr
        (result,) = json.loads(done.stdout)["results"]
        found.append({key: value for key, value in result.items() if key != "seconds"})
    assert found[0] == found[1] == found[2]
