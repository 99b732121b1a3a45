"""What learning an augmentation can be told: the held-out images, classifiers, the grid, no learning at all."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from trained_models import SMALL_NETWORK

from allweather.runtimes.errors import CheckpointError, DataError, UsageError
from allweather.trainers.augmentations.learned.augmentation import (
    AugmentationCheckpoint,
    LearnedAugmentation,
    load_augmentation,
    save_augmentation,
)
from allweather.trainers.augmentations.learned.networks import AugmentationNetwork, TransformStage
from allweather.trainers.checkpoint import tensor_file
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.methods.config import TrainConfig
from allweather.trainers.methods.learned_augmentation.learn import learn_augmentation
from allweather.trainers.methods.learned_augmentation.reliability import Reliability
from allweather.trainers.methods.learned_augmentation.settings import LearnAugmentationSettings, Stage
from allweather.trainers.training.launch import launch
from allweather.trainers.training.objective import CrossEntropy
from allweather.trainers.training.progress import Progress
from allweather.trainers.training.settings import FitSettings

SETTINGS = LearnAugmentationSettings(
    gan_epochs=1, epochs=1, damping=0.01, classifier=FitSettings(epochs=1, batch_size=16)
)


@pytest.fixture
def untrained(tmp_path: Path) -> Path:
    """The file of a network as it starts."""
    path = tmp_path / "untrained.safetensors"
    save_augmentation(path, AugmentationCheckpoint("parallel", AugmentationNetwork("parallel").state_dict(), "signs"))
    return path


def test_too_few_held_out_images(dataset: Dataset, tmp_path: Path) -> None:
    few = dataclasses.replace(dataset, val=dataset.val.take(torch.arange(3)))
    settings = dataclasses.replace(SETTINGS, held_out="val")
    with pytest.raises(DataError, match=r"at least 4 held-out images.*; 3 are in the validation split"):
        learn_augmentation(SMALL_NETWORK, few, settings, tmp_path / "few.safetensors", fabric=launch())
    one_class = dataset.train.take(torch.arange(12)).with_labels(torch.zeros(12, dtype=torch.int64))
    few = dataclasses.replace(dataset, train=one_class)
    with pytest.raises(DataError, match=r"at least 4 held-out images.*; 2 are a fifth of 12 training images"):
        learn_augmentation(SMALL_NETWORK, few, SETTINGS, tmp_path / "few.safetensors", fabric=launch())
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_it_is_learned_from_the_validation_images_by_two_classifiers_on_a_grid(
    dataset: Dataset, tmp_path: Path
) -> None:
    settings = dataclasses.replace(SETTINGS, held_out="val", classifiers=2, grid=4, color_limit=0.25)
    out, steps = tmp_path / "grid.safetensors", list[tuple[Stage, int]]()
    heard: list[Reliability] = []

    def note(stage: Stage, progress: Progress) -> None:
        if progress.report:
            steps.append((stage, progress.steps))

    learn_augmentation(SMALL_NETWORK, dataset, settings, out, fabric=launch(), watch=note, measured=heard.append)
    each = len(dataset.train) // 16  # all of them
    assert steps == [("classifier", each), ("classifier", each), ("gan", each), ("influence", each)]
    loaded = load_augmentation(out)
    assert loaded.grid == 4
    assert loaded.metrics["held_out_images"] == len(dataset.val)
    assert loaded.metrics["split_half_correlation"] == heard[0].split_half_correlation
    part = loaded.network().parts[0]
    assert isinstance(part, TransformStage)
    assert float(part.limits("appearance")[0]) == pytest.approx(0.25)


@pytest.mark.slow
def test_without_learning_it_is_the_network_as_it_starts(dataset: Dataset, tmp_path: Path) -> None:
    """The control needs no classifier; the pre-trained one is that which the influence stage starts from."""
    stages = set()

    def note(stage: Stage, progress: Progress) -> None:
        stages.add(stage)

    results = []
    for name, gan_epochs in (("chance", 0), ("pretrained", 1)):
        settings = dataclasses.replace(SETTINGS, epochs=0, gan_epochs=gan_epochs)
        out = tmp_path / f"{name}.safetensors"
        learn_augmentation(SMALL_NETWORK, dataset, settings, out, fabric=launch(), watch=note)
        assert stages == ({"classifier", "gan"} if gan_epochs else set())
        results.append(load_augmentation(out))
    chance, pretrained = results
    assert chance.metrics == pretrained.metrics == {}
    assert chance.history == ()
    torch.manual_seed(SETTINGS.classifier.seed)
    network = AugmentationNetwork("parallel")
    key = "parts.0.encoder.0.weight"
    assert torch.equal(chance.weights[key], network.state_dict()[key])
    assert not torch.equal(pretrained.weights[key], chance.weights[key])


def test_training_changes_half_of_the_images_or_the_share_that_is_asked_for(untrained: Path) -> None:
    for given, share in ((None, 0.5), (1.0, 1.0), (0.25, 0.25)):
        config = TrainConfig(augment=f"learned:{untrained}", augment_share=given)
        objective = config.objective(1, 0.0)
        assert isinstance(objective, CrossEntropy)
        assert isinstance(objective.augmentation, LearnedAugmentation)
        assert objective.augmentation.share == share
        assert config.as_dict()["augment_share"] == share


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"augment": "learned:x", "augment_share": 0.0}, "above 0 and at most 1; got 0"),
        ({"augment": "learned:x", "augment_share": 1.5}, "above 0 and at most 1; got 1.5"),
        ({"augment": "trivial", "augment_share": 1.0}, "learned:FILE only; got 'trivial'"),
        ({"augment_share": 1.0}, "learned:FILE only; got no augmentation"),
    ],
)
def test_a_share_that_cannot_be(values: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        TrainConfig(**values)
    assert "augment_share" not in TrainConfig(augment="trivial").as_dict()


def test_a_file_from_before_there_were_grids_has_one_cell(untrained: Path, tmp_path: Path) -> None:
    tensors, header = tensor_file.read(untrained)
    assert header is not None
    del header["grid"]
    tensor_file.write(tmp_path / "old.safetensors", tensors, header)
    assert load_augmentation(tmp_path / "old.safetensors").grid == 1
    tensor_file.write(tmp_path / "other.safetensors", tensors, {**header, "grid": 3})
    with pytest.raises(CheckpointError, match="damaged: grid"):
        load_augmentation(tmp_path / "other.safetensors")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"damping": 0.0}, "damping"),
        ({"epochs": -1}, "epochs"),
        ({"gan_epochs": -1}, "GAN epochs"),
        ({"held_out": "test"}, "share, val"),
        ({"classifiers": 0}, "classifiers .* at least 1"),
        ({"grid": 2}, "grid must be one of 1, 4, 8; got 2"),
        ({"color_limit": 0.0}, "color limit"),
        ({"mode": "both"}, "parallel, serial"),
        ({"aim": "foggy"}, "clean, combined, corrupted"),
    ],
)
def test_invalid_settings(change: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        dataclasses.replace(SETTINGS, **change)  # type: ignore[arg-type]
