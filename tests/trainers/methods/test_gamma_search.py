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
from allweather.trainers.methods.gamma_search import search_gamma
from allweather.trainers.methods.gamma_selection import GammaTrial
from allweather.trainers.methods.pair_objective import DEFAULT_GAMMAS
from allweather.trainers.training.launch import launch
from allweather.trainers.training.settings import FitSettings
from allweather.trainers.training.uncertainty import MIN_IMAGES

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
    selection = search_gamma(start, dataset, settings, out, fabric=launch(), watch=run.append)
    assert [trial.gamma for trial in selection.trials] == [0.1, 1.0, 10.0]
    assert selection.images == len(dataset.val)
    assert selection.gamma in ((0.1, 1.0, 10.0) if selection.images >= MIN_IMAGES else (DEFAULT_GAMMAS["fma"],))
    for trial in selection.trials:
        assert set(trial.clean_correct) <= {0, 1}
        assert (trial.rows_correct >= trial.clean_correct).all()
        assert (trial.rows_correct <= trial.clean_correct + 9).all()
    assert selection.trials[0].as_dict() == run[0].as_dict(), "kept in the file as it was"
    assert [trial.gamma for trial in run] in ([0.1, 1.0, 10.0], [0.1, 1.0, 1.0, 10.0])  # the stopped one may be lost


@pytest.mark.slow
def test_the_finetuning_after_a_search_takes_over_its_strengths(
    checkpoint: Checkpoint, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gamma_search, "GAMMAS", (0.1,))
    settings, out = FinetuneSettings("st", fit=FIT), tmp_path / "out.safetensors"
    searched: list[str] = []
    gamma = search_gamma(checkpoint, dataset, settings, out, fabric=launch(), watch_strengths=searched.append).gamma
    assert set(AUGMENTATIONS) <= set(searched)
    monkeypatch.setattr(strength_search, "find_strengths", refuse_search)
    made = finetune(checkpoint, dataset, settings.with_gamma(gamma), out, fabric=launch())
    assert set(made.strengths) == set(AUGMENTATIONS)
    assert made.settings["gamma"] == gamma
    assert [path.name for path in tmp_path.iterdir()] == ["out.safetensors"]


def test_a_method_without_gamma_is_refused(checkpoint: Checkpoint, dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="method at has no gamma"):
        search_gamma(checkpoint, dataset, FinetuneSettings("at", fit=FIT), tmp_path / "x", fabric=launch())
