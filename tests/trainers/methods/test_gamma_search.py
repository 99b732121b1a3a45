"""The grid search for gamma."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from allweather.runtimes.errors import UsageError
from allweather.trainers.augmentations.photometric import AUGMENTATIONS
from allweather.trainers.checkpoint.checkpoint import Checkpoint
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.methods import gamma_search, strength_search
from allweather.trainers.methods.finetune import FinetuneSettings, finetune
from allweather.trainers.methods.gamma_search import GammaTrial, best_gamma, search_gamma
from allweather.trainers.training.launch import launch
from allweather.trainers.training.settings import FitSettings

PAPER = {name: augmentation.paper for name, augmentation in AUGMENTATIONS.items()}
FIT = FitSettings(epochs=1, batch_size=24, schedule="cosine", seed=3)


class StoppedError(Exception):
    """Stands for the end of the process."""


def refuse_search(*_: object, **__: object) -> None:
    raise AssertionError("augmentation strengths were searched for again")


@pytest.mark.slow
def test_a_resumed_search_repeats_no_finished_trial(
    checkpoint: Checkpoint, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gamma_search, "GAMMAS", (0.1, 1.0, 10.0))
    start, out = dataclasses.replace(checkpoint, strengths=PAPER), tmp_path / "out.safetensors"
    settings = FinetuneSettings("fma", fit=FIT)
    run: list[GammaTrial] = []

    def stop(trial: GammaTrial) -> None:
        run.append(trial)
        if len(run) == 2:
            raise StoppedError

    with pytest.raises(StoppedError):
        search_gamma(start, dataset, settings, out, fabric=launch(), watch=stop)
    gamma, trials = search_gamma(start, dataset, settings, out, fabric=launch(), watch=run.append)
    assert [trial.gamma for trial in trials] == [0.1, 1.0, 10.0]
    assert gamma in (0.1, 1.0, 10.0)
    assert [trial.gamma for trial in run] in ([0.1, 1.0, 10.0], [0.1, 1.0, 1.0, 10.0])  # the stopped one may be lost


@pytest.mark.slow
def test_the_finetuning_after_a_search_takes_over_its_strengths(
    checkpoint: Checkpoint, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gamma_search, "GAMMAS", (0.1,))
    settings, out = FinetuneSettings("st", fit=FIT), tmp_path / "out.safetensors"
    searched: list[str] = []
    gamma, _ = search_gamma(checkpoint, dataset, settings, out, fabric=launch(), watch_strengths=searched.append)
    assert set(AUGMENTATIONS) <= set(searched)
    monkeypatch.setattr(strength_search, "find_strengths", refuse_search)
    made = finetune(checkpoint, dataset, settings.with_gamma(gamma), out, fabric=launch())
    assert set(made.strengths) == set(AUGMENTATIONS)
    assert made.settings["gamma"] == 0.1
    assert [path.name for path in tmp_path.iterdir()] == ["out.safetensors"]


def test_a_method_without_gamma_is_refused(checkpoint: Checkpoint, dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="method at has no gamma"):
        search_gamma(checkpoint, dataset, FinetuneSettings("at", fit=FIT), tmp_path / "x", fabric=launch())


def test_a_gamma_must_not_cost_clean_accuracy_if_any_gamma_keeps_it() -> None:
    trials = (GammaTrial(0.1, 0.900, 0.7), GammaTrial(1.0, 0.897, 0.8), GammaTrial(10.0, 0.890, 0.9))
    assert best_gamma(trials, 0.9) == 1.0
    assert best_gamma(trials, 0.95) == 10.0
