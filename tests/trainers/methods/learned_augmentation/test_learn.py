"""Learning an augmentation from end to end, small; and what is made of the file."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

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
from allweather.trainers.checkpoint.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from allweather.trainers.data.batches import to_float
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.methods import gamma_search as search
from allweather.trainers.methods.config import TrainConfig
from allweather.trainers.methods.finetune import FinetuneSettings
from allweather.trainers.methods.learned_augmentation.influence_objective import Body, estimator, influence_deviation
from allweather.trainers.methods.learned_augmentation.learn import (
    AugmentationAim,
    LearnAugmentationSettings,
    Stage,
    aimed_at,
    learn_augmentation,
)
from allweather.trainers.methods.learned_augmentation.visualize import DRAWS, latent_traversal, sample_augmentations
from allweather.trainers.methods.train import train
from allweather.trainers.models.activation_hooks import last_linear
from allweather.trainers.training.launch import launch
from allweather.trainers.training.progress import Progress
from allweather.trainers.training.settings import FitSettings

SETTINGS = LearnAugmentationSettings(
    gan_epochs=1, epochs=2, damping=0.01, classifier=FitSettings(epochs=2, batch_size=16)
)


class StoppedError(Exception):
    """A kill."""


@pytest.fixture(scope="module")
def learned(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("augmentation") / "colors.safetensors"
    learn_augmentation("resnet20", dataset, SETTINGS, out, fabric=launch())
    return out


def test_it_is_kept_like_a_checkpoint(learned: Path, dataset: Dataset) -> None:
    made = load_augmentation(learned)
    assert made.mode == "parallel"
    assert made.data == dataset.name
    assert made.settings["arch"] == "resnet20"
    assert len(made.history) == SETTINGS.epochs
    assert 0 <= made.metrics["helped"] <= 1
    assert not list(learned.parent.glob(".*.stages"))


@pytest.mark.parametrize("stage", ["classifier", "mimicry", "benefit"])
def test_killed_in_any_stage_it_ends_as_undisturbed(
    stage: Stage, learned: Path, dataset: Dataset, tmp_path: Path
) -> None:
    out = tmp_path / "again.safetensors"

    def kill(now: Stage, progress: Progress) -> None:
        if now == stage and progress.report:
            raise StoppedError

    with pytest.raises(StoppedError):
        learn_augmentation("resnet20", dataset, SETTINGS, out, fabric=launch(), watch=kill)
    learn_augmentation("resnet20", dataset, SETTINGS, out, fabric=launch())
    one, other = load_augmentation(learned), load_augmentation(out)
    assert one.metrics == other.metrics
    for key, value in one.weights.items():
        assert torch.equal(value, other.weights[key]), key


def test_another_run_s_stages_are_left_alone(dataset: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "other.safetensors"

    def kill(now: Stage, progress: Progress) -> None:
        raise StoppedError

    with pytest.raises(StoppedError):
        learn_augmentation("resnet20", dataset, SETTINGS, out, fabric=launch(), watch=kill)
    with pytest.raises(TrainingError, match="other settings"):
        learn_augmentation("resnet20", dataset, dataclasses.replace(SETTINGS, gan_epochs=2), out, fabric=launch())


@pytest.mark.parametrize("change", [{"damping": 0.1}, {"aim": "combined"}, {"epochs": 1}])
def test_what_a_change_has_no_part_in_is_kept_for_the_next_try(
    change: dict[str, object], dataset: Dataset, tmp_path: Path
) -> None:
    out, seen = tmp_path / "again.safetensors", set()

    def note(now: Stage, progress: Progress) -> None:
        seen.add((now, progress.steps))

    def kill(now: Stage, progress: Progress) -> None:
        if now == "benefit" and progress.report:  # the epoch is saved
            raise StoppedError

    with pytest.raises(StoppedError):
        learn_augmentation("resnet20", dataset, SETTINGS, out, fabric=launch(), watch=kill)
    again = dataclasses.replace(SETTINGS, **change)  # type: ignore[arg-type]
    learn_augmentation("resnet20", dataset, again, out, fabric=launch(), watch=note)
    assert seen == {("benefit", again.epochs * 96 // 16)}  # 96 of 120 pictures, in batches as they were asked for


def test_a_kill_while_stages_are_removed_leaves_none_to_be_mistaken(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill(folder: Path, **_: object) -> None:
        raise StoppedError

    monkeypatch.setattr(shutil, "rmtree", kill)
    with pytest.raises(StoppedError):
        learn_augmentation("resnet20", dataset, SETTINGS, tmp_path / "one.safetensors", fabric=launch())
    assert [place.name for place in (tmp_path / ".one.safetensors.stages").iterdir()] == ["run.json"]


def test_each_process_wants_two_pictures_a_step(dataset: Dataset, tmp_path: Path) -> None:
    small = dataclasses.replace(SETTINGS, classifier=FitSettings(epochs=1, batch_size=2))
    two = SimpleNamespace(world_size=2)
    with pytest.raises(UsageError, match=r"two pictures or more in each process, .* got a batch of 2 for 2 processes"):
        learn_augmentation("resnet20", dataset, small, tmp_path / "small.safetensors", fabric=two)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_a_stage_of_another_version_is_refused_in_words(dataset: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "old.safetensors"

    def kill(now: Stage, progress: Progress) -> None:
        if now == "benefit":
            raise StoppedError

    with pytest.raises(StoppedError):
        learn_augmentation("resnet20", dataset, SETTINGS, out, fabric=launch(), watch=kill)
    kept = next(tmp_path.glob(".*.stages")) / "mimicry.safetensors"
    tensors, metadata = tensor_file.read(kept)
    tensor_file.write(kept, {key: value for key, value in tensors.items() if "limits" not in key}, metadata)
    with pytest.raises(TrainingError, match=r"of another version of allweather; delete .*stages to begin anew"):
        learn_augmentation("resnet20", dataset, SETTINGS, out, fabric=launch())


def test_too_few_pictures(dataset: Dataset, tmp_path: Path) -> None:
    few = dataclasses.replace(dataset, train=dataset.train.take(torch.arange(9)))
    with pytest.raises(DataError, match="10 training pictures"):
        learn_augmentation("resnet20", few, SETTINGS, tmp_path / "few.safetensors", fabric=launch())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("aim", ["clean", "combined", "corrupted"])
def test_aims(aim: AugmentationAim, dataset: Dataset) -> None:
    held = dataset.train.take(torch.arange(41))
    made = aimed_at(held, aim, 0)
    assert made.shape == held.images.shape
    assert made.dtype == torch.uint8
    assert torch.equal(made, aimed_at(held, aim, 0))
    changed = (made != held.images).flatten(1).any(1)
    assert not changed.any() if aim == "clean" else changed.float().mean() > 0.9


def test_the_slope_is_that_of_the_last_layer(checkpoint: Checkpoint, dataset: Dataset) -> None:
    body = Body(checkpoint.classifier())
    found = estimator(body, dataset.train, dataset.val, dataset.val.images, 0.01)
    assert found.weight.shape == (3, last_linear(body.classifier).in_features + 1)
    features = body(to_float(dataset.val.images))
    torch.testing.assert_close(
        body.classifier(to_float(dataset.val.images)),
        body.classifier.network.linear(features),  # type: ignore[union-attr, operator]
    )
    images = to_float(dataset.train.images[:4]).requires_grad_()
    found.influence(images, dataset.train.labels[:4]).sum().backward()
    assert images.grad is not None
    assert float(images.grad.abs().max()) > 0
    assert influence_deviation(found, dataset.train) > 0


def test_a_class_may_be_among_the_held_out_alone(checkpoint: Checkpoint, dataset: Dataset) -> None:
    known = dataset.train.take((dataset.train.labels < 2).nonzero()[:, 0])  # as where a class has few pictures
    found = estimator(Body(checkpoint.classifier()), known, dataset.val, dataset.val.images, 0.01)
    assert len(found.weight) == len(dataset.classes) == 3
    assert found.inverse.isfinite().all()


def test_every_trainer_takes_it(learned: Path, dataset: Dataset, tmp_path: Path) -> None:
    name = f"learned:{learned}"
    images = to_float(dataset.train.images[:4])
    augment = open_augmentation(name)
    assert isinstance(augment, LearnedAugmentation)
    made = augment(images, 0, torch.Generator().manual_seed(1))
    assert made.shape == images.shape
    assert not made.requires_grad
    for method in ("plain", "ait"):
        out = tmp_path / f"{method}.safetensors"
        config = TrainConfig(method, augment=name)  # type: ignore[arg-type]
        train(["resnet20"], dataset, FitSettings(epochs=1, batch_size=16), out, fabric=launch(), config=config)
        assert load_checkpoint(out).settings["augment"] == name


def test_half_of_the_pictures_can_stay_as_they_are(learned: Path, dataset: Dataset) -> None:
    images = to_float(dataset.train.images[:8])
    augment = open_augmentation(f"learned:{learned}", 0.5)
    made = augment(images, 0, torch.Generator().manual_seed(1))
    assert sum(torch.equal(one, other) for one, other in zip(made, images, strict=True)) == 4
    assert augment.resume_key != open_augmentation(f"learned:{learned}").resume_key


def test_a_file_at_home(learned: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(learned.parent))
    assert (
        open_augmentation(f"learned:~/{learned.name}").resume_key == open_augmentation(f"learned:{learned}").resume_key
    )


def test_a_search_for_gamma_knows_one_augmentation_from_another_of_its_name(
    learned: Path, checkpoint: Checkpoint, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "GRID", (0.1,))
    place, tried = tmp_path / "used.safetensors", []
    start = dataclasses.replace(checkpoint, strengths={name: each.paper for name, each in AUGMENTATIONS.items()})
    settings = FinetuneSettings("st", augment=f"learned:{place}", fit=FitSettings(batch_size=60))
    made = load_augmentation(learned)
    for weights in (made.weights, made.weights, {key: value + 1 for key, value in made.weights.items()}):
        save_augmentation(place, dataclasses.replace(made, weights=weights))
        search.search_gamma(start, dataset, settings, tmp_path / "trials", fabric=launch(), watch=tried.append)
    assert len(tried) == 2


def test_pictures_of_it(learned: Path, dataset: Dataset) -> None:
    network = load_augmentation(learned).network()
    rows = sample_augmentations(network, dataset.val)
    assert len(rows) == DRAWS + 1
    assert any((a != b).any() for a, b in zip(rows["draw 1"], rows["draw 2"], strict=True))
    line = latent_traversal(network, dataset.val)
    assert list(line) == ["picture", "warp", "warped", "colors", "result"]
    for images in (*rows.values(), *line.values()):
        assert all(image.dtype == np.uint8 and image.shape == (32, 32, 3) for image in images)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"damping": 0.0}, "damping"),
        ({"epochs": 0}, "epochs"),
        ({"mimicry": -1}, "epochs"),
        ({"mode": "both"}, "parallel, serial"),
        ({"aim": "foggy"}, "clean, combined, corrupted"),
    ],
)
def test_settings_that_cannot_be(change: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        dataclasses.replace(SETTINGS, **change)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["learned:nowhere.safetensors", "learned:", "better"])
def test_an_augmentation_that_is_none(name: str) -> None:
    with pytest.raises(AllweatherError, match=r"nowhere|learned:FILE"):
        open_augmentation(name)


def test_a_checkpoint_is_no_augmentation(learned: Path, checkpoint: Checkpoint, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c.safetensors", checkpoint)
    with pytest.raises(CheckpointError, match="allweather learn-augmentation"):
        load_augmentation(tmp_path / "c.safetensors")
    with pytest.raises(CheckpointError, match=r"holds a learned augmentation; .*--augment learned:FILE"):
        load_checkpoint(learned)
    with pytest.raises(CheckpointError, match="another version's network; learn it again"):
        AugmentationCheckpoint("parallel", {}, "signs").network()
