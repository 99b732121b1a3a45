"""Policies measured: what each of them must come to, by hand and beside the perceiver."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from allweather.evaluation import policy_outcomes as policy_measure
from allweather.evaluation.model import EvaluatedModel
from allweather.evaluation.policy_outcomes import outcomes, relative_costs, vote
from allweather.runtimes.errors import UsageError
from allweather.runtimes.perceiver import LossPredictor, Perceiver
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.tta.policy import Policy, parse_policy
from allweather.runtimes.tta.views import VIEWS
from allweather.runtimes.types import Floats, Image
from allweather.trainers.corruptions.sets import GeneratedSet
from allweather.trainers.data.dataset import Dataset

TEXTS = ("center", "hflip", "all", "top:1", "top:2+flip", "random:3", "oracle:1", "oracle:12", "set:identity,zoom1.2:5")


def answer(images: Image) -> Floats:
    """A classifier that looks at colors alone."""
    means = images.reshape(len(images), -1, 3).mean(1)
    return np.asarray((means - means.mean(1, keepdims=True)) / 10, np.float32)


def predict_losses(images: Image) -> Floats:
    """Some order that differs from picture to picture."""
    seeds = images.reshape(len(images), -1).sum(1, dtype=np.int64)
    return np.stack([np.random.default_rng(int(seed)).random(len(VIEWS)) for seed in seeds]).astype(np.float32)


@pytest.fixture
def target(dataset: Dataset) -> EvaluatedModel:
    return EvaluatedModel(
        Path("colors"), "numpy", dataset.classes, InputSpec(32, 32), answer, "0", predict_losses=predict_losses
    )


@pytest.fixture
def corrupted(dataset: Dataset) -> GeneratedSet:
    images, labels = dataset.test.images.numpy(), dataset.test.labels.numpy()
    return GeneratedSet(images, labels, 0, ("gaussian_noise", "contrast"))


class Engine:
    """Answers as a function does."""

    def __init__(self, run: object) -> None:
        self.run = run

    def close(self) -> None:
        """Nothing to close."""


def test_each_policy_is_as_right_as_the_perceiver_that_follows_it(target: EvaluatedModel, dataset: Dataset) -> None:
    policies = [parse_policy(text) for text in ("center", "hflip", "top:1", "top:2+flip", "all", "top:2+flip@0.9999")]
    (clean,) = outcomes(target, dataset, None, policies)
    for policy, right, runs in zip(policies, clean.right, clean.runs, strict=True):
        loss_predictor = LossPredictor(Engine(predict_losses), InputSpec(32, 32))  # type: ignore[arg-type]
        eyes = Perceiver(
            Engine(answer), dataset.classes, InputSpec(32, 32), policy=policy, loss_predictor=loss_predictor
        )  # type: ignore[arg-type]
        decisions = [eyes(image) for image in dataset.test.images.numpy()]
        wanted = [dataset.classes[label] for label in dataset.test.labels.tolist()]
        assert [one.label == name for one, name in zip(decisions, wanted, strict=True)] == right.tolist(), policy.name
        assert [len(one.views) for one in decisions] == runs.tolist(), policy.name
    assert 1 < clean.runs[-1].mean() < 4  # some votes settle early


def test_cells_come_in_order_and_the_oracle_is_never_worse(
    target: EvaluatedModel, dataset: Dataset, corrupted: GeneratedSet
) -> None:
    found = outcomes(target, dataset, corrupted, [parse_policy(text) for text in TEXTS])
    assert [(each.corruption, each.severity) for each in found] == [
        ("clean", 0), *((name, severity) for name in corrupted.corruptions for severity in range(1, 6))
    ]  # fmt: skip
    place = {text: number for number, text in enumerate(TEXTS)}
    for cell in found:
        assert cell.right.shape == cell.first.shape == (len(TEXTS), len(corrupted.labels))
        right = cell.right.mean(1)
        assert right[place["oracle:1"]] >= max(right[place["center"]], right[place["top:1"]])
        assert np.array_equal(cell.right[place["oracle:12"]], cell.right[place["all"]])
        assert (cell.first[place["center"]] == 0).all()
        assert -0.2 < float(cell.alike.mean()) < 0.2  # the order is by chance


def test_a_killed_measurement_goes_on(
    target: EvaluatedModel, dataset: Dataset, corrupted: GeneratedSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policies = [parse_policy("random:2"), parse_policy("top:1")]
    whole = outcomes(target, dataset, corrupted, policies)

    class StoppedError(Exception):
        pass

    def stop(done: int, total: int) -> None:
        assert total == 11
        if done == 4:
            raise StoppedError

    with pytest.raises(StoppedError):
        outcomes(target, dataset, corrupted, policies, keep=tmp_path, watch=stop)
    counted: list[str] = []
    plain = policy_measure._cell
    monkeypatch.setattr(policy_measure, "_cell", lambda *rest: counted.append(rest[1]) or plain(*rest))
    rest = outcomes(target, dataset, corrupted, policies, keep=tmp_path)
    assert len(counted) == 7
    for one, other in zip(whole, rest, strict=True):
        assert np.array_equal(one.right, other.right)
        assert np.array_equal(one.first, other.first)
    outcomes(target, dataset, corrupted, policies, seed=1, keep=tmp_path)  # others are not taken for these
    assert len(counted) == 18


def test_weights_and_repetition_count_in_the_vote() -> None:
    answers = {"identity": np.array([[1.0, 0.0]]), "hflip": np.array([[0.0, 1.0]])}
    learned = Policy("learned", "all", ("identity", "hflip"), 2, weights=(3.0, 1.0))
    assert vote(learned, np.array([[0, 1]]), answers)[0].tolist() == [[0.75, 0.25]]
    drawn = parse_policy("set:identity,hflip:5")
    found, runs = vote(drawn, np.array([[0, 1, 1, 1, 1]]), answers)
    assert found == pytest.approx(np.array([[0.2, 0.8]]))
    assert runs.tolist() == [5]


def test_a_vote_ends_where_it_is_settled() -> None:
    answers = {"identity": np.array([[0.9, 0.1], [0.6, 0.4]]), "hflip": np.array([[0.0, 1.0], [0.8, 0.2]])}
    policy = parse_policy("set:identity,hflip@0.85")
    found, runs = vote(policy, np.array([[0, 1], [0, 1]]), answers)
    assert runs.tolist() == [1, 2]
    assert found == pytest.approx(np.array([[0.9, 0.1], [0.7, 0.3]]))


def test_costs_are_relative_to_one_look(target: EvaluatedModel, dataset: Dataset) -> None:
    now = [0.0]

    def slow(images: Image) -> Floats:
        now[0] += len(images)
        return answer(images)

    def ranking(images: Image) -> Floats:
        now[0] += 0.25
        return predict_losses(images)

    timed = dataclasses.replace(target, answer=slow, predict_losses=ranking)
    policies = [parse_policy(text) for text in ("center", "hflip", "top:1", "top:2+flip", "all", "all@0.001")]
    images = dataset.test.images[:3].numpy()
    found = relative_costs(timed, images, policies, rounds=2, clock=lambda: now[0])
    assert found == pytest.approx([1, 2, 1.25, 4.25, 12, 1])


def test_ranking_without_a_predictor_is_refused(target: EvaluatedModel, dataset: Dataset) -> None:
    blind = dataclasses.replace(target, predict_losses=None)
    assert np.isnan(outcomes(blind, dataset, None, [parse_policy("hflip")])[0].alike).all()
    with pytest.raises(UsageError, match="policy top:1 needs a loss predictor, and colors has none"):
        outcomes(blind, dataset, None, [parse_policy("top:1")])
