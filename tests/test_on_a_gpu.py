"""The script for a GPU, run without one: a tiny budget, few images and a small network in place of the large ones."""

from __future__ import annotations

import copy
import importlib
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from trained_models import paint_folder

from allweather.runtimes.errors import UsageError
from allweather.trainers.checkpoint import tensor_file
from allweather.trainers.checkpoint.checkpoint_file import load_checkpoint
from allweather.trainers.data.registry import open_dataset
from allweather.trainers.training.launch import launch

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"
SMALL = {"speed": ("resnet8",), "vgg16": "resnet8", "consistency": "resnet8", "ait": "resnet8"}
MINUTES = 0.3


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Imports the script or one of its parts."""
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module


@pytest.fixture(scope="module")
def few_images(tmp_path_factory: pytest.TempPathFactory) -> str:
    root = tmp_path_factory.mktemp("few") / "colors"
    return f"folder:{paint_folder(root, {'train': 10, 'val': 3, 'test': 3})}"


def no_constant(text: str) -> float:
    raise ValueError(f"{text} is no JSON")


def read_strictly(path: Path) -> Any:
    return json.loads(path.read_text(), parse_constant=no_constant)


@pytest.mark.slow
def test_all_parts_run_within_their_minutes_and_finished_runs_are_skipped(
    module: Callable[[str], Any], few_images: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    started = time.monotonic()
    arguments = ["--minutes", str(MINUTES), "--out", str(tmp_path), "--data", few_images]
    module("on_a_gpu").main(arguments, SMALL)
    assert time.monotonic() - started < 60 * MINUTES + 10, "the minutes were not kept"
    result = read_strictly(tmp_path / "summary.json")
    assert list(result["parts"]) == ["speed", "vgg16", "consistency", "ait"]
    assert not [how for how in result["parts"].values() if how.startswith("failed")]
    assert result["runs"], "no run was finished"
    for name, record in result["runs"].items():
        assert read_strictly(tmp_path / f"{name}.json") == record
        assert {"machine", "torch", "commit", "seed", "schedule", "results"} <= set(record)
        assert record["schedule"]["cut"]
    assert "| run | schedule | result |" in capsys.readouterr().out

    (tmp_path / "notes.json").write_text("[1, 2]")  # of somebody else
    growing = ("summary.json", "ait-all.json")  # a busy machine has minutes for fewer seeds, and the next call for more
    finished = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.json") if path.name not in growing}
    module("on_a_gpu").main(["--minutes", "0.1", *arguments[2:]], SMALL)
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    other = paint_folder(tmp_path / "other", {"train": 4, "val": 2, "test": 2})
    with pytest.raises(UsageError, match="holds runs of the data"):
        module("on_a_gpu").main(["--minutes", "0.1", "--out", str(tmp_path), "--data", f"folder:{other}"], SMALL)


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_weights_of_an_undisturbed_one(
    module: Callable[[str], Any], few_images: str, tmp_path: Path
) -> None:
    schedule = module("gpu.schedule")
    plan = schedule.Schedule(30, 160, 3, 3, 9, 2, compiled=False, cost=schedule.Cost(0.0, 0.0))
    killed, undisturbed = tmp_path / "killed", tmp_path / "undisturbed"
    for folder in (killed, undisturbed):
        folder.mkdir()
        (folder / "ait.plan.json").write_text(json.dumps(plan.record()))
    unfinished, done = killed / ".ait-ait-0.safetensors.resume", killed / "ait-ait-0.safetensors"
    arguments = ["--minutes", "1", "--out", str(killed), "--data", few_images, "--only", "ait"]
    code = f"import sys; sys.path.insert(0, {str(FOLDER)!r}); import on_a_gpu; on_a_gpu.main({arguments}, {SMALL})"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not unfinished.exists():
        assert process.poll() is None, "it ended before it had saved anything"
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert unfinished.exists()
    assert not done.exists(), "it was killed too late"
    assert 0 < (tensor_file.read(unfinished)[1] or {})["epoch"] < 30

    dataset, finished = open_dataset(few_images, 32), []
    for folder in (killed, undisturbed):
        work = module("gpu.records").Work(folder, dataset, launch(), module("gpu.budget").Budget(60), 0)
        part = dataset.subset(module("gpu.invariant").FRACTION, 0)
        module("gpu.invariant").train_one(work, "ait-ait-0", "ait", SMALL["ait"], 0, plan, part)
        finished.append(load_checkpoint(folder / "ait-ait-0.safetensors"))
    assert not unfinished.exists()
    ours, theirs = finished
    assert [row["loss"] for row in ours.history] == [row["loss"] for row in theirs.history]
    assert all(torch.equal(ours.weights[key], theirs.weights[key]) for key in theirs.weights)


@pytest.mark.filterwarnings(
    "ignore:.torch.jit.script_method:DeprecationWarning"
)  # of torch, when it loads its compiler
@pytest.mark.slow
def test_a_compiled_network_has_the_same_weights_and_copies_that_are_not_compiled(module: Callable[[str], Any]) -> None:
    network = torch.nn.Sequential(torch.nn.Linear(2, 3))
    names = list(network.state_dict())
    compiled = module("gpu.compiled").compile_in_place(network)
    assert compiled is network
    assert compiled._compiled_call_impl is not None
    assert list(compiled.state_dict()) == names
    assert copy.deepcopy(compiled)._compiled_call_impl is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--minutes", "0"], "--minutes is a number above 0; got 0"),
        (["--minutes", "soon"], "invalid float value: 'soon'"),
        (["--minutes", "1", "--only", "sped"], "did you mean speed"),
        (["--minutes", "1", "--data", "nowhere"], "cifar-10-batches-py; there is none in nowhere"),
    ],
)
def test_a_bad_argument_is_told_in_one_line(
    module: Callable[[str], Any], arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    with pytest.raises((UsageError, SystemExit)) as caught:
        module("on_a_gpu").main(["--out", str(out), "--data", "signs:", *arguments])
    text = str(caught.value) if isinstance(caught.value, UsageError) else capsys.readouterr().err.strip()
    assert message in text
    assert "\n" not in text
    assert not out.exists()


def test_a_schedule_is_cut_to_the_time(module: Callable[[str], Any], few_images: str) -> None:
    schedule, dataset = module("gpu.schedule"), open_dataset(few_images, 32)
    settings, cost = module("gpu.invariant").RECIPE, schedule.Cost(image=0.1, val_image=0.01)
    epoch = 0.1 * len(dataset.train) + 0.01 * len(dataset.val)

    def fitting(seconds: float) -> Any:
        return schedule.fitting(settings, dataset, cost, seconds, compiled=False)

    full, some, less = fitting(1000 * epoch), fitting(7.5 * epoch), fitting(0.6 * epoch)
    assert (full.epochs, full.train_images, full.record()["cut"]) == (160, len(dataset.train), False)
    assert (some.epochs, some.train_images, some.record()["cut"]) == (7, len(dataset.train), True)
    assert (less.epochs, less.record()["cut"]) == (1, True)
    assert less.train_images == int(0.6 * len(dataset.train))
    assert len(less.data(dataset, 0).train) == less.train_images
