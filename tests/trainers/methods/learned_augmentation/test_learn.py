"""Learning a small augmentation from end to end, and the uses of its file."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from trained_models import SMALL_NETWORK

from allweather.runtimes.errors import AllweatherError, CheckpointError, DataError, TrainingError, UsageError
from allweather.trainers.augmentations.learned.augmentation import (
    AugmentationCheckpoint,
    LearnedAugmentation,
    load_augmentation,
    open_augmentation,
    save_augmentation,
)
from allweather.trainers.augmentations.photometric import AUGMENTATIONS
from allweather.trainers.checkpoint import tensor_file
from allweather.trainers.checkpoint.checkpoint import Checkpoint
from allweather.trainers.checkpoint.checkpoint_file import load_checkpoint, save_checkpoint
from allweather.trainers.data.batches import to_float
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.methods import gamma_search
from allweather.trainers.methods.config import TrainConfig
from allweather.trainers.methods.finetune import FinetuneSettings
from allweather.trainers.methods.learned_augmentation import starting_network
from allweather.trainers.methods.learned_augmentation.learn import learn_augmentation
from allweather.trainers.methods.learned_augmentation.settings import LearnAugmentationSettings, Stage
from allweather.trainers.methods.train import train
from allweather.trainers.training.launch import launch
from allweather.trainers.training.progress import Progress
from allweather.trainers.training.settings import FitSettings

SETTINGS = LearnAugmentationSettings(
    gan_epochs=1, epochs=2, damping=0.01, classifier=FitSettings(epochs=2, batch_size=16)
)


class StoppedError(Exception):
    """Stands for the end of the process."""


@pytest.fixture(scope="module", autouse=True)
def _few_batches() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(starting_network, "BATCHES", 2)
        yield


@pytest.fixture(scope="module")
def learned(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("augmentation") / "colors.safetensors"
    learn_augmentation(SMALL_NETWORK, dataset, SETTINGS, out, fabric=launch())
    return out


@pytest.mark.slow
def test_the_file_records_how_it_was_learned(learned: Path, dataset: Dataset) -> None:
    loaded = load_augmentation(learned)
    assert loaded.mode == "parallel"
    assert loaded.data == dataset.name
    assert loaded.settings["arch"] == SMALL_NETWORK
    assert loaded.grid == 1
    assert loaded.metrics["held_out_images"] == len(dataset.train) // 5
    assert -1 <= loaded.metrics["split_half_correlation"] <= 1
    assert len(loaded.history) == SETTINGS.epochs
    assert 0 <= loaded.metrics["improved_share"] <= 1
    assert not list(learned.parent.glob(".*.stages"))


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["classifier", "gan", "influence"])
def test_a_run_resumed_in_any_stage_ends_like_an_uninterrupted_one(
    stage: Stage, learned: Path, dataset: Dataset, tmp_path: Path
) -> None:
    out = tmp_path / "again.safetensors"

    def kill(current: Stage, progress: Progress) -> None:
        if current == stage and progress.report:
            raise StoppedError

    with pytest.raises(StoppedError):
        learn_augmentation(SMALL_NETWORK, dataset, SETTINGS, out, fabric=launch(), watch=kill)
    learn_augmentation(SMALL_NETWORK, dataset, SETTINGS, out, fabric=launch())
    expected, resumed = load_augmentation(learned), load_augmentation(out)
    assert resumed.metrics == expected.metrics
    for key, value in expected.weights.items():
        assert torch.equal(value, resumed.weights[key]), key


@pytest.mark.slow
def test_the_stages_of_another_run_are_refused(dataset: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "other.safetensors"

    def kill(stage: Stage, progress: Progress) -> None:
        raise StoppedError

    with pytest.raises(StoppedError):
        learn_augmentation(SMALL_NETWORK, dataset, SETTINGS, out, fabric=launch(), watch=kill)
    with pytest.raises(TrainingError, match="other settings"):
        learn_augmentation(SMALL_NETWORK, dataset, dataclasses.replace(SETTINGS, gan_epochs=2), out, fabric=launch())


@pytest.fixture(scope="module")
def stopped(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what is left of a run that was stopped after the first epoch of its last stage."""
    folder = tmp_path_factory.mktemp("stopped")

    def kill(stage: Stage, progress: Progress) -> None:
        if stage == "influence" and progress.report:  # the epoch is saved
            raise StoppedError

    with pytest.raises(StoppedError):
        learn_augmentation(SMALL_NETWORK, dataset, SETTINGS, folder / "again.safetensors", fabric=launch(), watch=kill)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("change", [{"damping": 0.1}, {"aim": "combined"}, {"epochs": 1}, {"classifiers": 2}])
def test_stages_that_a_setting_does_not_change_are_reused(
    change: dict[str, object], stopped: Path, dataset: Dataset, tmp_path: Path
) -> None:
    shutil.copytree(stopped, tmp_path, dirs_exist_ok=True)
    out, watched = tmp_path / "again.safetensors", set()

    def note(stage: Stage, progress: Progress) -> None:
        watched.add((stage, progress.steps))

    again = dataclasses.replace(SETTINGS, **change)  # type: ignore[arg-type]
    learn_augmentation(SMALL_NETWORK, dataset, again, out, fabric=launch(), watch=note)
    expected: set[tuple[Stage, int]] = {("influence", again.epochs * 96 // 16)}  # 96 of 120 images, in batches of 16
    if again.classifiers > 1:
        expected |= {("classifier", 2 * 96 // 16)}
    assert watched == expected


@pytest.mark.slow
def test_a_kill_while_stages_are_removed_leaves_no_stage(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill(folder: Path, **_: object) -> None:
        raise StoppedError

    monkeypatch.setattr(shutil, "rmtree", kill)
    with pytest.raises(StoppedError):
        learn_augmentation(SMALL_NETWORK, dataset, SETTINGS, tmp_path / "one.safetensors", fabric=launch())
    assert [path.name for path in (tmp_path / ".one.safetensors.stages").iterdir()] == ["run.json"]


def test_each_process_needs_two_images_per_step(dataset: Dataset, tmp_path: Path) -> None:
    small = dataclasses.replace(SETTINGS, classifier=FitSettings(epochs=1, batch_size=2))
    two = SimpleNamespace(world_size=2)
    with pytest.raises(UsageError, match=r"two images in each process.* got a batch of 2 for 2 processes"):
        learn_augmentation(SMALL_NETWORK, dataset, small, tmp_path / "small.safetensors", fabric=two)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_stage_of_another_version_is_refused(dataset: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "old.safetensors"

    def kill(stage: Stage, progress: Progress) -> None:
        if stage == "influence":
            raise StoppedError

    with pytest.raises(StoppedError):
        learn_augmentation(SMALL_NETWORK, dataset, SETTINGS, out, fabric=launch(), watch=kill)
    kept = next(tmp_path.glob(".*.stages")) / "gan.safetensors"
    tensors, metadata = tensor_file.read(kept)
    tensor_file.write(kept, {key: value for key, value in tensors.items() if "limits" not in key}, metadata)
    with pytest.raises(TrainingError, match=r"another version of allweather; delete .*stages"):
        learn_augmentation(SMALL_NETWORK, dataset, SETTINGS, out, fabric=launch())


def test_too_few_images(dataset: Dataset, tmp_path: Path) -> None:
    few = dataclasses.replace(dataset, train=dataset.train.take(torch.arange(9)))
    with pytest.raises(DataError, match=r"10 training images.* has 9"):
        learn_augmentation(SMALL_NETWORK, few, SETTINGS, tmp_path / "few.safetensors", fabric=launch())
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_every_training_method_takes_it(learned: Path, dataset: Dataset, tmp_path: Path) -> None:
    name = f"learned:{learned}"
    images = to_float(dataset.train.images[:4])
    augmentation = open_augmentation(name)
    assert isinstance(augmentation, LearnedAugmentation)
    augmented = augmentation(images, 0, torch.Generator().manual_seed(1))
    assert augmented.shape == images.shape
    assert not augmented.requires_grad
    for method in ("plain", "ait"):
        out = tmp_path / f"{method}.safetensors"
        config = TrainConfig(method, augment=name)  # type: ignore[arg-type]
        train([SMALL_NETWORK], dataset, FitSettings(epochs=1, batch_size=16), out, fabric=launch(), config=config)
        assert load_checkpoint(out).settings["augment"] == name


@pytest.mark.slow
def test_half_of_the_images_can_stay_unchanged(learned: Path, dataset: Dataset) -> None:
    images = to_float(dataset.train.images[:8])
    augmentation = open_augmentation(f"learned:{learned}", 0.5)
    augmented = augmentation(images, 0, torch.Generator().manual_seed(1))
    assert sum(torch.equal(one, other) for one, other in zip(augmented, images, strict=True)) == 4
    assert augmentation.resume_key != open_augmentation(f"learned:{learned}").resume_key


@pytest.mark.slow
def test_a_file_in_the_home_folder(learned: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(learned.parent))
    assert (
        open_augmentation(f"learned:~/{learned.name}").resume_key == open_augmentation(f"learned:{learned}").resume_key
    )


@pytest.mark.slow
def test_a_gamma_search_notices_a_changed_augmentation_file(
    learned: Path, checkpoint: Checkpoint, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gamma_search, "GAMMAS", (0.1,))
    path, trials = tmp_path / "used.safetensors", []
    start = dataclasses.replace(checkpoint, strengths={name: each.paper for name, each in AUGMENTATIONS.items()})
    settings = FinetuneSettings("st", augment=f"learned:{path}", fit=FitSettings(batch_size=60))
    loaded = load_augmentation(learned)
    for weights in (loaded.weights, loaded.weights, {key: value + 1 for key, value in loaded.weights.items()}):
        save_augmentation(path, dataclasses.replace(loaded, weights=weights))
        gamma_search.search_gamma(start, dataset, settings, tmp_path / "out", fabric=launch(), watch=trials.append)
    assert len(trials) == 2


@pytest.mark.parametrize("name", ["learned:nowhere.safetensors", "learned:", "better"])
def test_a_name_that_is_no_augmentation(name: str) -> None:
    with pytest.raises(AllweatherError, match=r"nowhere|learned:FILE"):
        open_augmentation(name)


@pytest.mark.slow
def test_a_checkpoint_is_not_an_augmentation(learned: Path, checkpoint: Checkpoint, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c.safetensors", checkpoint)
    with pytest.raises(CheckpointError, match="allweather learn-augmentation"):
        load_augmentation(tmp_path / "c.safetensors")
    with pytest.raises(CheckpointError, match=r"holds a learned augmentation; .*--augment learned:FILE"):
        load_checkpoint(learned)
    with pytest.raises(CheckpointError, match=r"another version; learn it again"):
        AugmentationCheckpoint("parallel", {}, "signs").network()
