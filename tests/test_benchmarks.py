"""The benchmarks still fit the code that they measure. How fast it is, is not asked."""

from __future__ import annotations

import runpy
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from allweather.evaluation.policy_outcomes import run_policies
from allweather.runtimes.errors import UsageError
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.tta.policy_names import parse_policy
from allweather.trainers.corruptions import COMMON, CORRUPTIONS, EXTRA
from allweather.trainers.data.dataset import Dataset, Split
from allweather.trainers.inference.open_model import EvaluatedModel
from allweather.trainers.methods.loss_predictor import ViewLosses

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"
TRAINERS = FOLDER / "trainers"
RIVAL = FOLDER / "by_hand" / "by_hand.py"  # imports other libraries alone, of which the project does not install all
OURS = sorted(path for path in FOLDER.rglob("*.py") if path != RIVAL)


@pytest.mark.parametrize("path", OURS, ids=lambda path: str(path.relative_to(FOLDER)))
def test_everything_that_a_benchmark_imports_is_there_and_it_explains_itself(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [str(path.parent), str(FOLDER)]  # its own, and that of the parts of on_a_gpu.py
    sys.path[:0] = folders
    try:
        benchmark = runpy.run_path(str(path))
        if "\nif __name__" in path.read_text():
            monkeypatch.setattr(sys, "argv", [str(path), "--help"])
            with pytest.raises(SystemExit, match=r"^0$"):
                benchmark["main"]()
            assert benchmark["__doc__"].strip() in capsys.readouterr().out
    finally:  # what libraries have added stays: onnxruntime adds a folder once, and imports from it later
        for folder in folders:
            sys.path.remove(folder)


@pytest.mark.slow
def test_both_loops_of_the_training_benchmark_take_steps() -> None:
    benchmark = runpy.run_path(str(TRAINERS / "step_speed.py"))
    benchmark["random_data"].__globals__.update(STEPS=2, BATCH_SIZE=4)
    data = benchmark["random_data"]()
    assert benchmark["ours"](data) > 0
    assert benchmark["bare"](data) > 0


def test_a_study_keeps_to_its_settings(tmp_path: Path) -> None:
    studies = runpy.run_path(str(TRAINERS / "studies.py"))
    for _ in range(2):
        studies["open_study_folder"](tmp_path / "runs", data="signs", epochs=1)
    with (
        pytest.raises(SystemExit, match=r'^error: .*runs with .*"epochs": 1.* this run has .*"epochs": 2'),
        studies["errors_in_one_line"](),
    ):
        studies["open_study_folder"](tmp_path / "runs", data="signs", epochs=2)


def test_a_run_that_is_not_in_the_plan_of_finetunings_is_told() -> None:
    sys.path.insert(0, str(TRAINERS))
    try:
        tables = runpy.run_path(str(TRAINERS / "finetuning_tables.py"))
    finally:
        sys.path.remove(str(TRAINERS))
    runs = list(tables["plan"](30, [], []))
    tables["check_names"](runs, ["at-ca-0", "st-ca", "ia"])
    with pytest.raises(UsageError, match=r"--only at-ca-1 chooses no run; choose among .*at-ca-0"):
        tables["check_names"](runs, ["st-ca-1", "at-ca-1"])


def test_seeds_of_existing_runs_are_included() -> None:
    seeds = runpy.run_path(str(TRAINERS / "studies.py"))["seeds"]
    assert list(seeds(1, lambda seed: seed in (0, 1, 3))) == [0, 1]
    assert list(seeds(0, lambda seed: seed == 1)) == []


@pytest.mark.parametrize(
    ("script", "line", "words"),
    [
        ("invariance.py", ["weight", "signs"], r"no row is called 'lambda 9'; did you mean lambda \d"),
        ("learned_augmentation.py", ["signs"], "no row is called 'lambda 9'.* pretrained"),
    ],
)
def test_a_row_that_a_study_does_not_have(
    script: str, line: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(TRAINERS))
    monkeypatch.setattr("sys.argv", [script, *line, str(tmp_path), "--only", "lambda 9"])
    with pytest.raises(SystemExit, match=f"^error: {words}"):
        runpy.run_path(str(TRAINERS / script), run_name="__main__")
    assert not list(tmp_path.iterdir())


def small_model() -> EvaluatedModel:
    """A random linear classifier of three classes at 16 px, and a loss predictor of the same kind."""
    rng = np.random.default_rng(0)
    classifier, predictor = rng.normal(size=(768, 3)), rng.normal(size=(768, 12))

    def outputs(weights: np.ndarray, images: np.ndarray) -> np.ndarray:
        return np.asarray((images.reshape(len(images), -1) / 255 - 0.5) @ weights, np.float32)

    return EvaluatedModel(
        Path("small"), "numpy", ("a", "b", "c"), InputSpec(16, 16), partial(outputs, classifier), "",
        predict_losses=partial(outputs, predictor),
    )  # fmt: skip


@pytest.mark.slow
def test_views_that_are_chosen_for_some_images_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER / "tta"))
    correct_by_policy = runpy.run_path(str(FOLDER / "tta" / "chosen_views.py"))["correct_by_policy"]
    rng, model = np.random.default_rng(1), small_model()
    split = Split(torch.from_numpy(rng.integers(0, 256, (900, 16, 16, 3), np.uint8)), torch.arange(900) % 3)
    dataset = Dataset("random", model.classes, split, split, split, hflip=True)
    policies = [parse_policy(text) for text in ("center", "hflip", "top:1", "top:2+flip", "top:2+flip+logits")]
    expected = run_policies(model, dataset, None, policies)[0].correct
    found = correct_by_policy(model, policies, split.images.numpy(), split.labels.numpy())
    np.testing.assert_array_equal(found, expected)
    assert len({row.tobytes() for row in found}) == 5


def test_the_table_beside_the_paper(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER / "tta"))
    script = runpy.run_path(str(FOLDER / "tta" / "training_corruptions.py"))
    cells = {name: [np.array([[True] * 3, [True, False, False]])] for name in ("clean", *CORRUPTIONS)}
    results = [script["errors"](index, cells) for index in (0, 1)]
    assert results[0]["common"] == results[0]["fog"] == 0
    assert results[1]["clean"] == pytest.approx(200 / 3)
    assert results[1]["clean low"] <= results[1]["clean"] <= results[1]["clean high"]
    records = {str(index): SimpleNamespace(results=each) for index, each in enumerate(results)}
    lines = script["table"](records).splitlines()
    assert len(lines) == 2 + 1 + 15 + 1 + 4 + 1
    for column in ("AugMix+", "k = 1"):  # the means that the paper prints are those of its columns
        published = script["PAPER"][column]
        assert np.mean([published[name] for name in COMMON]) == pytest.approx(published["common"], abs=0.006)
        assert np.mean([published[name] for name in EXTRA]) == pytest.approx(published["extra"], abs=0.006)


def test_what_a_predictor_sees_of_a_large_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER / "tta"))
    script = runpy.run_path(str(FOLDER / "tta" / "predictor_at_224.py"))
    images = torch.zeros(2, 224, 224, 3, dtype=torch.uint8)
    images[:, ::2] = 200  # as fine as noise: the center at full resolution shows it, the reduced image does not
    center, reduced = script["center"](56, images), script["reduced"](56, images)
    assert center.shape == reduced.shape == (2, 56, 56, 3)
    assert center.unique().tolist() == [0, 200]
    assert reduced.unique().tolist() == [100]
    outputs = script["strided_network"](224, 5).eval()(torch.rand(2, 3, 224, 224))
    assert outputs.shape == (2, 5)


def test_gains_over_one_view_by_family(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER / "tta"))
    script = runpy.run_path(str(FOLDER / "tta" / "predictor_at_224.py"))
    rows = torch.arange(60)
    corruption = rows % 16 - 1
    correct = torch.stack([corruption != 0, rows >= 0], 1)  # one view fails in Gaussian noise, and the other never
    test = ViewLosses(rows, (~correct).float(), correct, rows, corruption, ("identity", "rotate-20"))
    best, one = (
        script["errors"](test, test.losses.argmin(1)),
        script["errors"](test, torch.zeros(60, dtype=torch.int64)),
    )
    assert best["noise"] == best["clean gain"] == best["blur gain"] == 0
    assert one["noise"] == pytest.approx(best["noise gain"]) == pytest.approx(100 / 3, abs=2)
    assert best["noise gain low"] < best["noise gain"] < best["noise gain high"]
    assert len(script["table"]({"best": SimpleNamespace(results=best)}).splitlines()) == 3
