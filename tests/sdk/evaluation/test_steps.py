"""Evaluations as one call: of a checkpoint in memory, of its file, and of a bundle; data by name or as it is."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from torch import nn

from allweather import evaluation
from allweather.runtimes.bundle.bundle import Bundle
from allweather.runtimes.errors import DataError, UsageError
from allweather.runtimes.tta.policy_names import parse_policy
from allweather.trainers.checkpoint.checkpoint import Checkpoint
from allweather.trainers.checkpoint.checkpoint_file import save_checkpoint
from allweather.trainers.choices import StrengthName
from allweather.trainers.data.dataset import Dataset, Split

STRENGTHS = dict.fromkeys(get_args(StrengthName), 0.6)


@pytest.fixture(scope="module")
def small(dataset: Dataset) -> Checkpoint:
    """A classifier that compares the means of the three channels, with the classes in another order than the data."""
    head = nn.Linear(3, 3)
    with torch.no_grad():
        head.weight.copy_(4 * torch.eye(3))
        head.bias.zero_()
    module = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), head)
    return Checkpoint.of(module, ("red", "green", "blue"), 32, hflip=True, name="means")


def test_the_model_may_be_in_memory_or_in_a_file(
    small: Checkpoint, dataset: Dataset, folder: Path, tmp_path: Path
) -> None:
    in_memory = evaluation.evaluate(small, dataset)
    assert in_memory.classes == ("red", "green", "blue")
    assert in_memory.accuracy > 0.9  # so the labels are in the order of the classes
    assert evaluation.evaluate(small, f"folder:{folder}").confusion == in_memory.confusion


@pytest.mark.slow
def test_a_bundle_may_be_open(sample_bundle: Path) -> None:
    bundle = Bundle.open(sample_bundle)
    rng = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (6, 32, 32, 3), generator=rng, dtype=torch.uint8)
    split = Split(images, torch.arange(6))
    data = Dataset("noise", bundle.classes, split, split, split, hflip=True)
    results = [evaluation.evaluate(each, data, engine="onnx") for each in (bundle, sample_bundle, str(sample_bundle))]
    assert len({each.confusion for each in results}) == 1
    assert results[0].provenance.backend == "onnx fp32"


@pytest.mark.slow
def test_corrupted_images_are_generated_or_read(small: Checkpoint, dataset: Dataset, tmp_path: Path) -> None:
    few = Split(dataset.test.images[::8], dataset.test.labels[::8])
    data = dataclasses.replace(dataset, test=few)
    result = evaluation.evaluate_corrupted(small, data, baseline="alexnet")
    assert len(result.cells) == 19 * 5
    assert result.mce is not None
    assert result.baseline == "alexnet"
    again = evaluation.evaluate_corrupted(small, data, "generate", baseline=evaluation.read_baseline("alexnet"))
    assert again.cells == result.cells
    with pytest.raises(DataError, match="nowhere"):
        evaluation.evaluate_corrupted(small, data, str(tmp_path / "nowhere"))


@pytest.mark.slow
def test_policies_are_texts_or_policies(small: Checkpoint, dataset: Dataset) -> None:
    one = evaluation.evaluate_policies(small, dataset, "hflip")
    both = evaluation.evaluate_policies(small, dataset, ["hflip", parse_policy("5crop")])
    assert [each.policy for each in one.results] == ["center", "oracle:1", "hflip"]
    assert [each.policy for each in both.results] == ["center", "oracle:1", "hflip", "5crop"]
    assert one.results[2].clean == both.results[2].clean
    tuned = dataclasses.replace(small, policies=(parse_policy("10crop"),))
    assert [each.policy for each in evaluation.evaluate_policies(tuned, dataset).results][2:] == ["10crop"]
    with pytest.raises(UsageError, match="needs a loss predictor"):
        evaluation.evaluate_policies(small, dataset, "top:1")


def test_augmented_images_need_strengths(small: Checkpoint, dataset: Dataset) -> None:
    with pytest.raises(UsageError, match="no augmentation strengths; give those of a finetuned checkpoint"):
        evaluation.evaluate_augmented(small, dataset)
    given = evaluation.evaluate_augmented(small, dataset, STRENGTHS)
    of_checkpoint = evaluation.evaluate_augmented(dataclasses.replace(small, strengths=STRENGTHS), dataset)
    assert given.accuracies == of_checkpoint.accuracies
    assert given.accuracies["clean"] == evaluation.evaluate(small, dataset).accuracy


def test_shifted_images_have_an_evaluation_of_their_own(small: Checkpoint, dataset: Dataset) -> None:
    result = evaluation.evaluate_shifted(small, dataset)
    assert result.accuracies["original"] == evaluation.evaluate(small, dataset).accuracy


def test_what_is_no_model_or_no_data_is_told(small: Checkpoint, dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"give trainers\.Checkpoint\.of\(network, classes, input\)"):
        evaluation.evaluate(nn.Linear(3, 3), dataset)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="data is a Dataset or the name of a data set; got Split"):
        evaluation.evaluate(small, dataset.test)  # type: ignore[arg-type]
    large = Split(torch.zeros(3, 48, 40, 3, dtype=torch.uint8), torch.arange(3))
    with pytest.raises(UsageError, match=r"means takes images of 32 x 32 px, but large was opened at 40 x 48 px"):
        evaluation.evaluate(small, Dataset("large", dataset.classes, large, large, large, hflip=True))
    with pytest.raises(UsageError, match="--engine and --precision are for bundles"):
        evaluation.evaluate(small, dataset, engine="onnx")
    path = tmp_path / "means.safetensors"
    save_checkpoint(path, small)
    with pytest.raises(Exception, match="name it"):  # the file does not hold the network
        evaluation.evaluate(path, dataset)


@pytest.mark.parametrize("seed", [-1, "x", 1.5, True, None])
def test_a_seed_is_a_whole_number(small: Checkpoint, dataset: Dataset, seed: Any) -> None:
    for call in (evaluation.evaluate_corrupted, evaluation.evaluate_policies):
        with pytest.raises(UsageError, match="a seed is a whole number, at least 0; got"):
            call(small, dataset, seed=seed)


@pytest.mark.parametrize("strengths", [5, "file.json", {"fog": 1.0}, {**STRENGTHS, "gaussian_blur": float("nan")}])
def test_strengths_are_a_number_for_each_augmentation(small: Checkpoint, dataset: Dataset, strengths: Any) -> None:
    with pytest.raises(UsageError, match=r"strengths (is a Mapping|hold a number for each augmentation); got"):
        evaluation.evaluate_augmented(small, dataset, strengths)


def test_other_arguments_of_another_type_are_told(small: Checkpoint, dataset: Dataset) -> None:
    wrong: Any = 5
    with pytest.raises(UsageError, match="policies are a list of policies or of their texts; got int"):
        evaluation.evaluate_policies(small, dataset, wrong)
    with pytest.raises(UsageError, match="fabric is a Fabric; got int"):
        evaluation.evaluate_corrupted(small, dataset, fabric=wrong)
    for corruptions in ([5], [None], [["fog"]], [b"fog"], b"fog"):
        with pytest.raises(UsageError, match="corruptions are a list of names"):
            evaluation.evaluate_corrupted(small, dataset, corruptions=corruptions)  # type: ignore[arg-type]
    for call in (evaluation.evaluate_corrupted, evaluation.evaluate_augmented, evaluation.evaluate_shifted):
        with pytest.raises(UsageError, match="watch is a function; got int"):
            call(small, dataset, watch=wrong)


@pytest.mark.slow
def test_some_corruptions_are_chosen(small: Checkpoint, dataset: Dataset) -> None:
    few = dataset.with_test_images(4, seed=0)
    whole = evaluation.evaluate_corrupted(small, few)
    part = evaluation.evaluate_corrupted(small, few, corruptions=["fog", "spatter"])
    assert part.cells == tuple(cell for cell in whole.cells if cell.corruption in ("fog", "spatter"))
    assert part.common is not None
    assert part.common.corruptions == ("fog",)
    for wrong, words in (("fog", "a list of names"), (5, "a list of names"), (["fogg"], "did you mean fog")):
        with pytest.raises(UsageError, match=words):
            evaluation.evaluate_corrupted(small, few, corruptions=wrong)  # type: ignore[arg-type]
