from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from allweather.runtimes.errors import UsageError
from allweather.trainers.augmentations.pairing import (
    CombinedAugmentation,
    IndividualAugmentation,
    MixedAugmentation,
    TorchvisionAugmentation,
)
from allweather.trainers.augmentations.photometric import AUGMENTATIONS, TABLE_ROWS
from allweather.trainers.checkpoint.checkpoint import Checkpoint, load_checkpoint
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.losses.consistency import feature_map_loss, stability_loss
from allweather.trainers.methods import gamma_search as search
from allweather.trainers.methods.finetune import FinetuneSettings, finetune
from allweather.trainers.methods.gamma_search import Trial, chosen, search_gamma
from allweather.trainers.methods.pair_objective import LossWeights, PairObjective
from allweather.trainers.training.fit import fit
from allweather.trainers.training.launch import launch
from allweather.trainers.training.progress import Progress
from allweather.trainers.training.settings import FitSettings

PAPER = {name: kind.paper for name, kind in AUGMENTATIONS.items()}
FIT = FitSettings(epochs=2, batch_size=24, schedule="cosine", seed=3)


@pytest.fixture(scope="module")
def calibrated(checkpoint: Checkpoint) -> Checkpoint:
    return dataclasses.replace(checkpoint, strengths=PAPER)


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(5)


class Foreign(nn.Module):
    """A network that is none of ours: no Classifier, ReLUs called as functions, a residual, BatchNorm."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.norm = nn.Conv2d(3, 6, 3, 2), nn.Conv2d(6, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.one(x))
        x = torch.relu(self.norm(self.two(x)) + x)
        out: Tensor = self.head(x.mean((2, 3)))
        return out


def test_losses_are_those_of_the_paper() -> None:
    """Word for word from two forward passes, where BatchNorm does not tie the two halves together."""
    torch.manual_seed(0)
    model, x, labels = Foreign().eval(), torch.rand(8, 3, 16, 16), torch.arange(8) % 3
    augmented = CombinedAugmentation(PAPER)(x, 0, rng())
    clean, other = model(x), model(augmented)
    maps = []
    for pictures in (x, augmented):
        first = functional.relu(model.one(pictures))
        maps.append([first, torch.relu(model.norm(model.two(first)) + first)])
    pairs = [torch.cat(each) for each in zip(*maps, strict=True)]
    plain = functional.cross_entropy(clean, labels)
    expected = {
        LossWeights(labels=1.0): plain + functional.cross_entropy(other, labels),
        LossWeights(divergence=0.7): plain + 0.7 * stability_loss(clean, other),
        LossWeights(maps=0.3): plain + 0.3 * feature_map_loss(pairs),
        LossWeights(labels=1.0, symmetric=0.7): plain
        + functional.cross_entropy(other, labels)
        + 0.7 * (stability_loss(clean, other) + stability_loss(other, clean)),
    }
    for loss_weights, value in expected.items():
        found = PairObjective(loss_weights, CombinedAugmentation(PAPER)).loss(model, x, labels, 0, rng())
        assert torch.allclose(found, value, rtol=1e-5), loss_weights


def test_a_foreign_network_is_finetuned_with_feature_maps(dataset: Dataset) -> None:
    torch.manual_seed(0)
    objective = PairObjective(LossWeights(maps=1.0), CombinedAugmentation(PAPER), PAPER)
    _, history = fit(Foreign(), dataset, FIT, 0.02, fabric=launch(), objective=objective)
    assert history[-1].loss < history[0].loss
    assert list(history[-1].others) == list(TABLE_ROWS)


def test_a_network_without_relu_is_refused(dataset: Dataset) -> None:
    linear = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 3))
    with pytest.raises(UsageError, match="no ReLU to tap"):
        fit(
            linear,
            dataset,
            FIT,
            0.01,
            fabric=launch(),
            objective=PairObjective(LossWeights(maps=1.0), CombinedAugmentation(PAPER)),
        )


def test_combinations_take_turns_every_epoch() -> None:
    gray = torch.full((2, 3, 8, 8), 0.5)
    parameters = {**PAPER, "gaussian_noise": 0.0, "salt_and_pepper": 0.0}
    means = [float(CombinedAugmentation(parameters)(gray, epoch, rng()).mean()) for epoch in range(4)]
    assert means == pytest.approx([0.89, 0.14, 0.89, 0.14], abs=1e-4)


def test_individual_ones_are_one_a_picture() -> None:
    images = 0.25 + 0.5 * torch.rand(64, 3, 8, 8, generator=rng())
    alone = {name: kind(images, kind.paper, rng()) for name, kind in AUGMENTATIONS.items() if kind.draw is None}
    mixed = IndividualAugmentation(PAPER)(images, 0, rng())
    unchanged = [
        any(torch.allclose(out, each[number], atol=1e-5) for each in alone.values()) for number, out in enumerate(mixed)
    ]
    assert 20 < sum(unchanged) < 64  # the others are noisy
    only = IndividualAugmentation(PAPER, "saturation-")(images, 0, rng())
    assert torch.allclose(only, alone["saturation-"])


def test_mixtures_differ_from_picture_to_picture_and_stay_below_the_strengths() -> None:
    gray = torch.full((500, 3, 8, 8), 0.5)
    parameters = {**PAPER, "gaussian_noise": 0.0, "salt_and_pepper": 0.0}
    means = MixedAugmentation(parameters)(gray, 0, rng()).mean((1, 2, 3))
    assert float(means.min()) >= 0.14 - 1e-5
    assert float(means.max()) <= 0.89 + 1e-5
    assert 0.12 < float((means == 0.5).float().mean()) < 0.28
    assert float((means - 0.5).abs().median()) > 0.2  # mostly strong ones
    assert len(means.unique()) > 300


@pytest.mark.parametrize("name", ["augmix", "randaugment", "trivial"])
def test_augmentations_of_torchvision(name: str) -> None:
    images = torch.rand(20, 3, 32, 32, generator=rng())
    made = []
    for _ in range(2):
        torch.manual_seed(1)
        made.append(TorchvisionAugmentation(name)(images, 0, rng()))  # type: ignore[arg-type]
    assert torch.equal(made[0], made[1])
    assert made[0].shape == images.shape
    assert float(made[0].min()) >= 0
    assert float(made[0].max()) <= 1
    assert not torch.allclose(made[0], images, atol=0.01)


class StoppedError(Exception):
    pass


def test_a_stopped_finetuning_ends_as_if_it_had_not_been(
    calibrated: Checkpoint, dataset: Dataset, tmp_path: Path
) -> None:
    settings = FinetuneSettings("robust", gamma=0.5, fit=FIT)

    def stop(now: Progress) -> None:
        if now.report:
            raise StoppedError

    whole = finetune(calibrated, dataset, settings, tmp_path / "whole.safetensors", fabric=launch())
    with pytest.raises(StoppedError):
        finetune(calibrated, dataset, settings, tmp_path / "cut.safetensors", fabric=launch(), watch=stop)
    cut = finetune(calibrated, dataset, settings, tmp_path / "cut.safetensors", fabric=launch())
    assert all(torch.equal(cut.weights[key], value) for key, value in whole.weights.items())
    stored = load_checkpoint(tmp_path / "cut.safetensors")
    assert [row["combined+"] for row in stored.history] == [row["combined+"] for row in whole.history]
    assert stored.strengths == PAPER
    assert stored.settings["method"] == "robust"
    assert stored.settings["gamma"] == 0.5
    assert not list(tmp_path.glob(".*"))


def test_a_search_for_gamma_goes_on_where_it_was(
    calibrated: Checkpoint, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "GRID", (0.1, 1.0, 10.0))
    settings = FinetuneSettings("fma", fit=FIT)
    seen: list[Trial] = []

    def stop(trial: Trial) -> None:
        seen.append(trial)
        if len(seen) == 2:
            raise StoppedError

    with pytest.raises(StoppedError):
        search_gamma(calibrated, dataset, settings, tmp_path / "trials", fabric=launch(), watch=stop)
    gamma, trials = search_gamma(calibrated, dataset, settings, tmp_path / "trials", fabric=launch(), watch=seen.append)
    assert [trial.gamma for trial in trials] == [0.1, 1.0, 10.0]
    assert gamma in (0.1, 1.0, 10.0)
    assert [trial.gamma for trial in seen] in ([0.1, 1.0, 10.0], [0.1, 1.0, 1.0, 10.0])  # the cut one may be lost


def test_a_gamma_must_not_cost_clean_accuracy_where_any_gamma_keeps_it() -> None:
    trials = (Trial(0.1, 0.900, 0.7), Trial(1.0, 0.897, 0.8), Trial(10.0, 0.890, 0.9))
    assert chosen(trials, 0.9) == 1.0
    assert chosen(trials, 0.95) == 10.0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"method": "fma", "gamma": -1.0}, "gamma is a number from 0; got -1"),
        ({"method": "fma", "gamma": float("nan")}, "gamma is a number from 0; got nan"),
        ({"method": "at", "gamma": 1.0}, "method at has no gamma"),
        ({"method": "at", "strategy": "ca", "augment": "augmix"}, "in place of a strategy"),
        ({"method": "st", "strategy": "ca", "only": "brightness+"}, "--only goes with --strategy ia"),
        ({"method": "st", "strategy": "ia", "only": "fog"}, "no augmentation is called 'fog'"),
    ],
)
def test_settings_that_cannot_be(given: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        FinetuneSettings(**given)  # type: ignore[arg-type]


def test_starts_that_cannot_be(
    checkpoint: Checkpoint, calibrated: Checkpoint, dataset: Dataset, tmp_path: Path
) -> None:
    settings, out = FinetuneSettings("st", fit=FIT), tmp_path / "x.safetensors"
    with pytest.raises(UsageError, match="no calibrated strengths; run: allweather calibrate"):
        finetune(checkpoint, dataset, settings, out, fabric=launch())
    other = dataclasses.replace(dataset, classes=("a", "b", "c"))
    with pytest.raises(UsageError, match="the classifier knows 3 classes"):
        finetune(calibrated, other, settings, out, fabric=launch())
    assert not list(tmp_path.iterdir())
