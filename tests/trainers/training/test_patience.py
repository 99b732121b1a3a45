from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lightning_fabric import Fabric
from torch import Tensor, nn

from allweather.runtimes.preprocess import InputSpec
from allweather.trainers.data.dataset import Dataset, Split
from allweather.trainers.models.classifier import Classifier
from allweather.trainers.training.fit import fit
from allweather.trainers.training.launch import launch
from allweather.trainers.training.objective import CrossEntropy
from allweather.trainers.training.progress import EpochReport, Progress, kept_report
from allweather.trainers.training.settings import FitSettings

SETTINGS = FitSettings(epochs=7, batch_size=8)
RISES_LATE = (0.5, 0.7, 0.6, 0.7, 0.65, 0.9, 0.1)


class GivenAccuracies(CrossEntropy):
    """Cross-entropy whose validation accuracies are given; it keeps the averaged weights of each epoch."""

    def __init__(self, accuracies: Sequence[float]) -> None:
        super().__init__()
        self.__dict__.update(accuracies=accuracies, epoch=0, weights={})

    def loss(self, model: nn.Module, images: Tensor, labels: Tensor, epoch: int, rng: torch.Generator) -> Tensor:
        self.__dict__["epoch"] = epoch
        return super().loss(model, images, labels, epoch, rng)

    def accuracy(self, model: nn.Module, val: Split, fabric: Fabric) -> float:
        epoch = self.__dict__["epoch"]
        self.__dict__["weights"][epoch + 1] = {key: value.clone() for key, value in model.state_dict().items()}
        return float(self.__dict__["accuracies"][epoch])


def few_images() -> Dataset:
    rng = torch.Generator().manual_seed(0)
    train = Split(torch.randint(0, 256, (24, 8, 8, 3), dtype=torch.uint8, generator=rng), torch.arange(24) % 3)
    return Dataset("random", ("a", "b", "c"), train, train, train, hflip=True)


def model() -> nn.Module:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.2), nn.Flatten(), nn.Linear(4 * 36, 3)]
    return Classifier(nn.Sequential(*layers), InputSpec(8, 8))


@pytest.mark.slow
@pytest.mark.parametrize(("patience", "epochs", "kept"), [(1, 3, 2), (3, 5, 2), (4, 7, 6), (7, 7, 6), (None, 7, 7)])
def test_the_best_epoch_is_kept_and_the_schedule_stays(patience: int | None, epochs: int, kept: int) -> None:
    objective, data = GivenAccuracies(RISES_LATE), few_images()
    _, whole = fit(model(), data, SETTINGS, 0.05, fabric=launch(), objective=objective)
    settings = dataclasses.replace(SETTINGS, patience=patience)
    trained, history = fit(model(), data, settings, 0.05, fabric=launch(), objective=objective)
    assert [report.row() for report in history] == [report.row() for report in whole[:epochs]]
    assert kept_report(history, patience).epoch == kept
    for key, value in objective.__dict__["weights"][kept].items():
        assert torch.equal(trained.state_dict()[key], value), key


@pytest.mark.slow
@pytest.mark.parametrize("stopped_at", ["3", "7", "13", "15", "end"])  # steps, of three an epoch
def test_a_resumed_run_keeps_the_same_epoch(tmp_path: Path, stopped_at: str) -> None:
    class StoppedError(Exception):
        pass

    def stop(progress: Progress) -> None:
        if progress.report is None and str(progress.step) == stopped_at:
            raise StoppedError

    settings, data = dataclasses.replace(SETTINGS, patience=3), few_images()
    expected, whole = fit(model(), data, settings, 0.05, fabric=launch(), objective=GivenAccuracies(RISES_LATE))
    for watch in (stop, lambda progress: None):
        try:
            kept, history = fit(
                model(), data, settings, 0.05, fabric=launch(), objective=GivenAccuracies(RISES_LATE),
                resume=tmp_path / "run.resume", watch=watch,
            )  # fmt: skip
        except StoppedError:
            continue
    assert [report.row() for report in history] == [report.row() for report in whole]
    for key, value in expected.state_dict().items():
        assert torch.equal(kept.state_dict()[key], value), key


@given(st.lists(st.floats(0, 1), min_size=1))
@pytest.mark.slow
def test_of_equally_good_epochs_the_first_is_kept(accuracies: list[float]) -> None:
    history = [EpochReport(epoch, 1.0, accuracy, 0.1, 1.0, 1.0) for epoch, accuracy in enumerate(accuracies, 1)]
    assert kept_report(history, 2).epoch == accuracies.index(max(accuracies)) + 1
    assert kept_report(history, None) is history[-1]
