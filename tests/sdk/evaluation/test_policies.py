"""Outcomes and latency of policies: by hand, and compared with the perceiver that follows them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from allweather.evaluation import policy_outcomes
from allweather.evaluation.policies import policy_evaluation
from allweather.evaluation.policy_outcomes import latency_ratios, run_policies
from allweather.reports.policies import summary_table
from allweather.runtimes.errors import UsageError
from allweather.runtimes.perceiver import LossPredictor, Perceiver
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.tta.aggregate import probabilities
from allweather.runtimes.tta.confidence_model import Acceptance, ConfidenceModel, energy, with_temperature
from allweather.runtimes.tta.policy import Policy
from allweather.runtimes.tta.policy_names import parse_policy
from allweather.runtimes.tta.views import VIEWS
from allweather.runtimes.types import Floats, Image
from allweather.trainers.corruptions.sets import GeneratedSet
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.inference.open_model import EvaluatedModel
from allweather.trainers.policies.average import average_views

TEXTS = ("center", "hflip", "all", "top:1", "top:2+flip", "random:3", "oracle:1", "oracle:12", "set:identity,zoom1.2:5")


def logits(images: Image) -> Floats:
    """A classifier that uses only the mean color."""
    means = images.reshape(len(images), -1, 3).mean(1)
    return np.asarray((means - means.mean(1, keepdims=True)) / 10, np.float32)


def predict_losses(images: Image) -> Floats:
    """Ranks the views in a random order that depends on the image."""
    seeds = images.reshape(len(images), -1).sum(1, dtype=np.int64)
    return np.stack([np.random.default_rng(int(seed)).random(len(VIEWS)) for seed in seeds]).astype(np.float32)


@pytest.fixture
def evaluated(dataset: Dataset) -> EvaluatedModel:
    return EvaluatedModel(
        Path("colors"), "numpy", dataset.classes, InputSpec(32, 32), logits, "0", predict_losses=predict_losses
    )


@pytest.fixture
def corrupted(dataset: Dataset) -> GeneratedSet:
    return GeneratedSet(dataset.test, 0, ("gaussian_noise", "contrast"))


class FunctionEngine:
    """An engine that runs a function."""

    def __init__(self, function: Callable[[Image], Floats]) -> None:
        self._function = function

    def infer(self, images: Image) -> Floats:
        return self._function(images)

    def close(self) -> None:
        """Nothing to close."""


def test_policies_predict_as_the_perceiver_that_follows_them(evaluated: EvaluatedModel, dataset: Dataset) -> None:
    policies = [parse_policy(text) for text in ("center", "hflip", "top:1", "top:2+flip", "all", "top:2+flip@0.9999")]
    (clean,) = run_policies(evaluated, dataset, None, policies)
    labels = [dataset.classes[label] for label in dataset.test.labels.tolist()]
    for row, (policy, correct, views_run) in enumerate(zip(policies, clean.correct, clean.views_run, strict=True)):
        loss_predictor = LossPredictor(FunctionEngine(predict_losses), InputSpec(32, 32))
        perceiver = Perceiver(
            FunctionEngine(logits), dataset.classes, InputSpec(32, 32), policy=policy, loss_predictor=loss_predictor
        )
        decisions = [perceiver(image) for image in dataset.test.images.numpy()]
        assert [each.label == label for each, label in zip(decisions, labels, strict=True)] == correct.tolist()
        assert [len(each.views) for each in decisions] == views_run.tolist(), policy.name
        assert [each.confidence for each in decisions] == pytest.approx(clean.confidence[row].tolist(), abs=1e-5)
    assert 1 < clean.views_run[-1].mean() < 4  # the last policy exits early on some images


@pytest.mark.slow
def test_accepted_decisions_are_those_of_the_perceiver(evaluated: EvaluatedModel, dataset: Dataset) -> None:
    images = logits(dataset.test.images.numpy())
    half = float(np.median(with_temperature(probabilities(images), 2.0).max(1)))
    acceptance = Acceptance(half, 0.02, 0.95, images=500, accepted=300, errors=2)
    model = ConfidenceModel((2.0,) * 4, (float(np.quantile(energy(images), 0.8)),) * 4, acceptance)
    tuned = [replace(parse_policy(text), confidence_model=model) for text in ("center", "top:2+flip", "hflip@0.15")]
    (clean,) = run_policies(evaluated, dataset, None, tuned)
    for policy, confidence, accepted in zip(tuned, clean.confidence, clean.accepted, strict=True):
        loss_predictor = LossPredictor(FunctionEngine(predict_losses), InputSpec(32, 32))
        perceiver = Perceiver(
            FunctionEngine(logits), dataset.classes, InputSpec(32, 32), policy=policy, loss_predictor=loss_predictor
        )
        decisions = [perceiver(image) for image in dataset.test.images.numpy()]
        assert [each.accepted for each in decisions] == accepted.tolist()
        assert [each.confidence for each in decisions] == pytest.approx(confidence.tolist(), abs=1e-5)
    assert 0 < clean.accepted[0].sum() < len(images)
    result = policy_evaluation(evaluated, dataset, None, tuned)[0].results
    assert [each.policy for each in result] == ["center", "oracle:1", "top:2+flip", "hflip@0.15"]
    assert result[0].coverage == {"clean": clean.accepted[0].mean(), "common": None, "extra": None}
    assert result[0].selective_risk["clean"] == (~clean.correct[0][clean.accepted[0]]).mean()
    assert result[1].coverage == {"clean": None, "common": None, "extra": None}
    table = summary_table(policy_evaluation(evaluated, dataset, None, tuned)[0])
    assert table[0][-1].startswith("accepted, %")
    assert table[1][-1].startswith(f"{100 * clean.accepted[0].mean():.1f} (")
    assert table[2][-1] == ""
    assert "clean error, %" in table[0]
    assert "common 15, %" not in table[0]  # as no corrupted images were evaluated


@pytest.mark.slow
def test_cells_come_in_order_and_the_oracle_is_never_worse(
    evaluated: EvaluatedModel, dataset: Dataset, corrupted: GeneratedSet
) -> None:
    outcomes = run_policies(evaluated, dataset, corrupted, [parse_policy(text) for text in TEXTS])
    assert [(each.corruption, each.severity) for each in outcomes] == [
        ("clean", 0), *((name, severity) for name in corrupted.corruptions for severity in range(1, 6))
    ]  # fmt: skip
    rows = {text: index for index, text in enumerate(TEXTS)}
    for cell in outcomes:
        assert cell.correct.shape == cell.first_view.shape == (len(TEXTS), len(corrupted.labels))
        accuracy = cell.correct.mean(1)
        assert accuracy[rows["oracle:1"]] >= max(accuracy[rows["center"]], accuracy[rows["top:1"]])
        assert np.array_equal(cell.correct[rows["oracle:12"]], cell.correct[rows["all"]])
        assert (cell.first_view[rows["center"]] == 0).all()
        assert -0.2 < float(cell.rank_correlation.mean()) < 0.2  # the predicted order is random


@pytest.mark.slow
def test_an_interrupted_evaluation_resumes(
    evaluated: EvaluatedModel,
    dataset: Dataset,
    corrupted: GeneratedSet,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    policies = [parse_policy("random:2"), parse_policy("top:1")]
    whole = run_policies(evaluated, dataset, corrupted, policies)

    class StopError(Exception):
        pass

    def interrupt(done: int, total: int) -> None:
        assert total == 11
        if done == 4:
            raise StopError

    with pytest.raises(StopError):
        run_policies(evaluated, dataset, corrupted, policies, keep=tmp_path, watch=interrupt)
    run_again: list[str] = []
    run_cell = policy_outcomes._run_cell
    monkeypatch.setattr(
        policy_outcomes, "_run_cell", lambda *arguments: run_again.append(arguments[1]) or run_cell(*arguments)
    )
    resumed = run_policies(evaluated, dataset, corrupted, policies, keep=tmp_path)
    assert len(run_again) == 7
    for one, other in zip(whole, resumed, strict=True):
        assert np.array_equal(one.correct, other.correct)
        assert np.array_equal(one.first_view, other.first_view)
    run_policies(evaluated, dataset, corrupted, policies, seed=1, keep=tmp_path)  # takes none of the finished cells
    assert len(run_again) == 18
    stops = [replace(each, early_exit_threshold=0.2) for each in (parse_policy("hflip"), parse_policy("center"))]
    for others in (stops, [parse_policy("hflip"), stops[1]]):  # of the same names and views
        run_policies(evaluated, dataset, None, others, keep=tmp_path)
    assert len(run_again) == 20


def test_weights_and_repetition_count_in_the_average() -> None:
    by_view = {"identity": np.array([[100, 0]], np.float32), "hflip": np.array([[0, 100]], np.float32)}
    learned = Policy("learned", "all", ("identity", "hflip"), 2, weights=(3.0, 1.0))
    assert average_views(learned, np.array([[0, 1]]), by_view)[0].tolist() == [[0.75, 0.25]]
    drawn = parse_policy("set:identity,hflip:5")
    average, views_run = average_views(drawn, np.array([[0, 1, 1, 1, 1]]), by_view)
    assert average == pytest.approx(np.array([[0.2, 0.8]]))
    assert views_run.tolist() == [5]


def test_the_average_ends_at_the_early_exit() -> None:
    views = {"identity": [[0.9, 0.1], [0.6, 0.4]], "hflip": [[0.01, 0.99], [0.8, 0.2]]}
    by_view = {name: np.log(np.array(rows)) for name, rows in views.items()}
    policy = parse_policy("set:identity,hflip@0.85")
    average, views_run = average_views(policy, np.array([[0, 1], [0, 1]]), by_view)
    assert views_run.tolist() == [1, 2]
    assert average == pytest.approx(np.array([[0.9, 0.1], [0.7, 0.3]]))


def test_latency_is_relative_to_one_view(evaluated: EvaluatedModel, dataset: Dataset) -> None:
    now = [0.0]

    def slow_logits(images: Image) -> Floats:
        now[0] += len(images)
        return logits(images)

    def slow_losses(images: Image) -> Floats:
        now[0] += 0.25
        return predict_losses(images)

    timed = dataclasses.replace(evaluated, logits=slow_logits, predict_losses=slow_losses)
    policies = [parse_policy(text) for text in ("center", "hflip", "top:1", "top:2+flip", "all", "all@0.001")]
    images = dataset.test.images[:3].numpy()
    ratios = latency_ratios(timed, images, policies, rounds=2, clock=lambda: now[0])
    assert ratios == pytest.approx([1, 2, 1.25, 4.25, 12, 1])


def test_ranking_without_a_loss_predictor_is_refused(evaluated: EvaluatedModel, dataset: Dataset) -> None:
    without = dataclasses.replace(evaluated, predict_losses=None)
    (clean,) = run_policies(without, dataset, None, [parse_policy("hflip")])
    assert np.isnan(clean.rank_correlation).all()
    with pytest.raises(UsageError, match=r"top:1 needs a loss predictor.* colors has none.* train-predictor"):
        run_policies(without, dataset, None, [parse_policy("top:1")])
