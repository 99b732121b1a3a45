from __future__ import annotations

import json
import re
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import onnx
import pytest
from onnx_graphs import Form, build, fitted_head
from sample_runs import SAMPLES, run_sample
from typer.main import get_command

import allweather
from allweather.cli.app import app
from allweather.exporters.serving.repository import write_repository
from allweather.runtimes.bundle.bundle import Bundle
from allweather.runtimes.bundle.manifest import Manifest
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.data.files.lists import find_list


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


@pytest.mark.end_to_end
def test_own_network(folder: Path, tmp_path: Path) -> None:
    output = run_sample("own_network.py", folder, tmp_path / "colors.aw")
    (accuracy,) = re.findall(r"accuracy (\d\.\d+)", output)
    assert float(accuracy) > 0.6
    assert Bundle.open(tmp_path / "colors.aw").classes == ("blue", "green", "red")


@pytest.mark.slow
def test_several_cameras(sample_bundle: Path, tmp_path: Path) -> None:
    frames = list(Bundle.open(sample_bundle).golden_frames())
    for name, order in (("front", frames), ("yard", frames[::-1])):
        (tmp_path / name).mkdir()
        for index, frame in enumerate(order):
            cv2.imwrite(str(tmp_path / name / f"{index:03}.png"), frame[..., ::-1])
    sources = [tmp_path / name for name in ("front", "nowhere", "yard")]
    command = [sys.executable, SAMPLES / "several_cameras.py", sample_bundle, *sources]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 1, "a source that failed is told by the exit code"
    assert "nowhere" in done.stderr
    lines = done.stdout.splitlines()
    with allweather.load(sample_bundle) as perceiver:
        labels = [decision.label for decision in perceiver.batch(frames)]
    for source, expected in ((sources[0], labels), (sources[2], labels[::-1])):
        changes = [label for label, before in zip(expected, ["", *expected], strict=False) if label != before]
        assert [line.split(", ")[1].split()[0] for line in lines if line.startswith(str(source))] == changes


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
        run_sample("archive_with_ray.py", archive, "--bundle", sample_bundle, "--out", out, "--actors", 2)
        left = [path.parent for path in Path("/proc").glob("[0-9]*/cmdline") if folder in command_line(path)]
    assert not left, "processes of Ray outlived the sample"
    rows = {Path(row["path"]).name: row for row in pyarrow.parquet.read_table(out).to_pylist()}
    with allweather.load(sample_bundle, threads=1) as perceiver:
        decisions = perceiver.batch(frames)
    assert len(rows) == len(frames) + 2
    for index, decision in enumerate(decisions):
        row = rows[f"{index:03}.png"]
        assert (row["label"], row["reason"]) == (decision.label, None)
        assert row["confidence"] == pytest.approx(decision.confidence, abs=1e-5)
    assert rows["damaged.jpg"]["label"] is None
    damaged = "damaged.jpg cannot be used: it is damaged, cut off or not an image; remove or replace it"
    assert rows["damaged.jpg"]["reason"].endswith(damaged)
    assert rows["gone.png"]["reason"].endswith("gone.png cannot be read: No such file or directory")

    confident = {f"{index:03}.png": each.label for index, each in enumerate(decisions) if each.confidence >= 0.5}
    told = run_sample("pseudo_labels.py", out, prepared, "--least", 0.5)
    assert f"{len(confident)} of {len(rows)} images in {prepared}" in told
    listed = find_list(prepared).splits["train"].classes
    assert {image.path.name: label for label, files in listed.items() for image in files.images} == confident


def command_line(path: Path) -> str:
    """The command line of a process; empty if it has ended."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


@pytest.mark.end_to_end
def test_archive_with_ray_names_what_is_wrong_before_ray_starts(
    sample_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It runs in this process, as it takes seconds to import Ray; an exception of its own would fail the test."""
    pytest.importorskip("ray", reason="Ray is not installed: the messages of the sample that uses it were not checked")
    (tmp_path / "image.png").write_bytes(b"\x89PNG")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")  # the sample sets it for its process
    empty = tmp_path / "empty"
    empty.mkdir()
    for archive, bundle, out, message in (
        (empty, sample_bundle, tmp_path / "out", "error: there is no image in "),
        (tmp_path, sample_bundle, tmp_path, "File exists"),
        (tmp_path, sample_bundle, tmp_path / "image.png", "File exists"),
        (tmp_path, empty, tmp_path / "out", "error: "),
        (tmp_path, sample_bundle, tmp_path / "out", "error: --actors is 1 or more"),
    ):
        arguments = [str(archive), "--bundle", str(bundle), "--out", str(out)]
        arguments += ["--actors", "0"] if "actors" in message else []
        monkeypatch.setattr(sys, "argv", ["archive_with_ray.py", *arguments])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(SAMPLES / "archive_with_ray.py"), run_name="__main__")
        said = capsys.readouterr().err
        assert ended.value.code, "it ended as if nothing were wrong"
        assert message in said
        assert "Traceback" not in said
    assert not (tmp_path / "out").exists()


def test_the_systemd_unit_uses_only_known_options() -> None:
    text = (SAMPLES / "deploy" / "allweather.service").read_text().replace("\\\n", " ")
    (line,) = (line for line in text.splitlines() if line.startswith("ExecStart="))
    run: Any = get_command(app)
    known_options = {option for parameter in run.commands["run"].params for option in parameter.opts}
    used_options = {word for word in line.split() if word.startswith("--")}
    assert "--config" in used_options
    assert used_options <= known_options


def test_the_systemd_unit_starts_where_it_may_write() -> None:
    unit = (SAMPLES / "deploy" / "allweather.service").read_text()
    (folder,) = re.findall(r"^StateDirectory=(\S+)$", unit, re.MULTILINE)
    assert f"\nWorkingDirectory=%S/{folder}\n" in unit  # else a relative path of site.yaml could not be written


@pytest.mark.slow
def test_a_sample_without_arguments_says_what_it_takes() -> None:
    lines = [re.search(r"python (\w+\.py [A-Z].*)\.\n", path.read_text()) for path in sorted(SAMPLES.glob("*.py"))]
    usages = [line[1] for line in lines if line]
    assert len(usages) > 8
    started = [
        subprocess.Popen([sys.executable, str(SAMPLES / each.split()[0])], stderr=subprocess.PIPE) for each in usages
    ]
    for program, usage in zip(started, usages, strict=True):
        _, said = program.communicate(timeout=200)
        assert program.returncode
        assert b"Traceback" not in said
        assert re.search(rf"usage: (python )?{re.escape(usage.split()[0])}", said.decode())


def test_every_sample_is_tested() -> None:
    names = {path.stem for path in SAMPLES.glob("*.py")}
    tests = [path.read_text() for path in Path(__file__).parent.glob("test_*samples.py")]
    assert len(tests) == 2
    assert names <= {name for text in tests for name in re.findall(r'"(\w+)\.py"', text)}
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
