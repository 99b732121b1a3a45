from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from allweather.evaluation.baselines import Baseline, read_baseline
from allweather.evaluation.corrupted import corrupted_evaluation, resume_key_of
from allweather.evaluation.metrics import compute_metrics
from allweather.runtimes.bundle.manifest import Manifest
from allweather.runtimes.errors import DataError, EngineError, UsageError
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.text import to_json
from allweather.runtimes.types import Floats, Image
from allweather.trainers.checkpoint.checkpoint import Checkpoint
from allweather.trainers.checkpoint.checkpoint_file import save_checkpoint
from allweather.trainers.choices import SetLayout
from allweather.trainers.corruptions import COMMON, EXTRA
from allweather.trainers.corruptions.sets import GeneratedSet, open_corrupted_set
from allweather.trainers.corruptions.sets.write import write_corrupted_set
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.inference.open_model import EvaluatedModel, open_model

SOME = ("impulse_noise", "contrast", "saturate")


@pytest.fixture(scope="module")
def evaluated(checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EvaluatedModel]:
    path = tmp_path_factory.mktemp("evaluated") / "colors.safetensors"
    save_checkpoint(path, checkpoint)
    with open_model(path) as opened:
        yield opened


def generated(dataset: Dataset, names: tuple[str, ...] = SOME) -> GeneratedSet:
    return GeneratedSet(dataset.test, 7, names)


@pytest.mark.slow
def test_errors_are_those_of_the_predictions(evaluated: EvaluatedModel, dataset: Dataset) -> None:
    corrupted = generated(dataset)
    result, images_of_mistakes = corrupted_evaluation(evaluated, dataset, corrupted)
    assert result.provenance.images == 24
    assert [(cell.corruption, cell.severity) for cell in result.cells[:6]] == [
        *(("impulse_noise", severity) for severity in range(1, 6)),
        ("contrast", 1),
    ]
    for cell in result.cells:
        images = next(corrupted.batches(cell.corruption, cell.severity, 24))
        predicted = evaluated.logits(images).argmax(1)
        assert cell.error == pytest.approx((predicted != corrupted.labels).mean())
        assert cell.low <= cell.error <= cell.high
        assert 0 <= cell.calibration_error <= 1
        assert 0 <= cell.brier <= 2
    assert result.common is not None
    assert result.common.corruptions == ("impulse_noise", "contrast")
    assert len(result.common.missing) == 13
    assert result.common.error == pytest.approx(np.mean([cell.error for cell in result.cells[:10]]))
    assert result.extra is not None
    assert result.extra.error == pytest.approx(np.mean([cell.error for cell in result.cells[10:]]))
    assert sum(count for count, _, _ in result.reliability) == 15 * 24
    for mistake in result.mistakes:
        image = images_of_mistakes[mistake.corruption]
        predicted_class = dataset.classes[int(evaluated.logits(image[None]).argmax())]
        assert predicted_class == mistake.predicted != mistake.label


@pytest.mark.slow
def test_a_bundle_has_the_errors_of_its_checkpoint(
    evaluated: EvaluatedModel, exported: tuple[Path, Manifest], dataset: Dataset
) -> None:
    of_checkpoint, _ = corrupted_evaluation(evaluated, dataset, generated(dataset))
    with open_model(exported[0], engine="openvino", precision="fp32") as bundle:
        of_bundle, _ = corrupted_evaluation(bundle, dataset, generated(dataset))
    assert [cell.error for cell in of_checkpoint.cells] == [cell.error for cell in of_bundle.cells]
    assert of_bundle.provenance.backend == "openvino fp32"


@pytest.mark.slow
def test_an_interrupted_evaluation_resumes(evaluated: EvaluatedModel, dataset: Dataset, tmp_path: Path) -> None:
    whole, _ = corrupted_evaluation(evaluated, dataset, generated(dataset))
    calls = 0

    def count_calls(images: Image) -> Floats:
        nonlocal calls
        calls += 1
        return evaluated.logits(images)

    def interrupt(done: int, total: int) -> None:
        if done == 9:
            raise KeyboardInterrupt

    counted = replace(evaluated, logits=count_calls)
    with pytest.raises(KeyboardInterrupt):
        corrupted_evaluation(counted, dataset, generated(dataset), keep=tmp_path, watch=interrupt)
    calls = 0
    resumed, _ = corrupted_evaluation(counted, dataset, generated(dataset), keep=tmp_path)
    assert calls == 2 + 6  # the clean images, those of the resume key, and the cells that were left
    assert to_json(resumed) == to_json(whole)
    assert resumed.correctness.digest == whole.correctness.digest
    assert all(np.array_equal(resumed.correctness.cells[key], each) for key, each in whole.correctness.cells.items())
    calls = 0
    other_set = replace(generated(dataset), seed=8)
    corrupted_evaluation(counted, dataset, other_set, keep=tmp_path)  # takes none of the finished cells
    assert calls == 2 + 15


@pytest.mark.slow
def test_the_resume_key_changes_with_the_images(evaluated: EvaluatedModel, dataset: Dataset, tmp_path: Path) -> None:
    changed = dataset.test.images.clone()
    changed[20:] = 0
    other = replace(dataset, test=replace(dataset.test, images=changed))
    assert resume_key_of(evaluated, None, other) != resume_key_of(evaluated, None, dataset)
    write_corrupted_set(dataset.test, dataset.classes, tmp_path / "c", data="colors", corruptions=("fog",))
    stored = open_corrupted_set(tmp_path / "c", dataset.classes, evaluated.input)
    before = resume_key_of(evaluated, stored, dataset)
    assert resume_key_of(evaluated, stored, dataset) == before
    os.utime(tmp_path / "c" / "fog.npy", (1, 1))
    assert resume_key_of(evaluated, stored, dataset) != before


@pytest.mark.slow
def test_a_set_without_common_corruptions_needs_no_errors_of_the_baseline(
    evaluated: EvaluatedModel, dataset: Dataset
) -> None:
    result, _ = corrupted_evaluation(
        evaluated, dataset, generated(dataset, ("spatter",)), baseline=Baseline("half", {})
    )
    assert (result.common, result.mce) == (None, None)


def test_logits_that_are_not_finite_are_refused() -> None:
    with pytest.raises(EngineError, match="2 of 3 images are not finite"):
        compute_metrics(np.array([[0, 1], [np.nan, 0], [np.inf, 0]], np.float32), np.zeros(3, np.int64))


@pytest.mark.slow
def test_mean_corruption_error_needs_all_fifteen_and_a_baseline(evaluated: EvaluatedModel, dataset: Dataset) -> None:
    errors = dict.fromkeys((*COMMON, *EXTRA), 0.5)
    with pytest.raises(UsageError, match="no error for contrast"):
        corrupted_evaluation(evaluated, dataset, generated(dataset), baseline=Baseline("x", {"impulse_noise": 0.5}))
    some, _ = corrupted_evaluation(evaluated, dataset, generated(dataset), baseline=Baseline("half", errors))
    assert (some.mce, some.baseline) == (None, "half")
    assert any("lacks gaussian_noise" in note for note in some.provenance.notes)
    everything, _ = corrupted_evaluation(
        evaluated, dataset, generated(dataset, COMMON), baseline=Baseline("half", errors)
    )
    assert everything.common is not None
    assert everything.mce == pytest.approx(100 * everything.common.error / 0.5)
    assert everything.extra is None


def test_a_baseline_that_is_nested_too_deep_is_refused(tmp_path: Path) -> None:
    (tmp_path / "deep.json").write_text("[" * 100_000)
    with pytest.raises(UsageError, match="is not a baseline"):
        read_baseline(str(tmp_path / "deep.json"))


@pytest.mark.parametrize(
    "content",
    [
        '{"fog": 120}', '{"fog": -1}', '{"fog": Infinity}', '{"fog": NaN}', '{"fog": 12, "snow": 100.01}',
        '{"results": [{"cells": [{"corruption": "fog", "error": 1.5}]}]}',
        '{"results": [{"cells": [{"corruption": "fog", "error": Infinity}]}]}',
    ],
)  # fmt: skip
def test_a_baseline_whose_errors_are_no_shares_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "baseline.json").write_text(content)
    with pytest.raises(UsageError, match=r"the error of '(fog|snow)' is .*; an error is 0 to 100 percent"):
        read_baseline(str(tmp_path / "baseline.json"))


@pytest.mark.parametrize(("layout", "data"), [("npy", "others"), ("folders", "others"), ("npy", ""), ("folders", "")])
@pytest.mark.slow
def test_a_set_of_other_data_is_noted(
    evaluated: EvaluatedModel, dataset: Dataset, tmp_path: Path, layout: SetLayout, data: str
) -> None:
    few, name, out = dataset.test.take(torch.arange(6)), data or dataset.name, tmp_path / "set"
    write_corrupted_set(few, dataset.classes, out, data=name, layout=layout, corruptions=("contrast",), seed=0)
    corrupted = open_corrupted_set(out, dataset.classes, InputSpec(32, 32))
    result, _ = corrupted_evaluation(evaluated, dataset, corrupted)
    noted = [note for note in result.provenance.notes if "was made from" in note]
    assert bool(noted) == bool(data)
    assert all("made from others and the clean error is that of" in note for note in noted)


@pytest.mark.slow
def test_a_set_of_other_images_of_the_same_number_is_noted(evaluated: EvaluatedModel, dataset: Dataset) -> None:
    few = dataset.with_test_images(12, 0)
    for seed, is_noted in ((0, False), (1, True)):
        others = generated(dataset.with_test_images(12, seed), ("fog",))
        result, _ = corrupted_evaluation(evaluated, few, others)
        assert any("other labels, or another order" in note for note in result.provenance.notes) is is_noted


def test_settings_of_a_set_that_are_nested_too_deep_are_refused(dataset: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "set"
    few = dataset.test.take(torch.arange(2))
    write_corrupted_set(few, dataset.classes, out, data="x", layout="npy", corruptions=("contrast",), seed=0)
    (out / "corrupted.json").write_text("[" * 100_000)
    with pytest.raises(DataError, match="does not say what the set was made from"):
        open_corrupted_set(out, dataset.classes, InputSpec(32, 32))
