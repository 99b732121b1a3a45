"""Tuning: greedy search and learned weights find the views that were made informative."""

from __future__ import annotations

import dataclasses
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch

from allweather.runtimes.errors import UsageError
from allweather.runtimes.tta.policy import Policy
from allweather.runtimes.tta.policy_names import is_found_by_tuning, parse_policy
from allweather.runtimes.tta.views import VIEWS
from allweather.trainers.policies.every_view import CANDIDATES, ViewLogits
from allweather.trainers.policies.tuning import (
    calibrated_log_likelihood,
    default_policies,
    evaluate_center,
    learn_weights,
    parse_tuning,
    put_first,
    tune,
)


@pytest.fixture(scope="module")
def results() -> ViewLogits:
    """Identity is somewhat informative; zoom1.2 and hflip are, each on one half of the images; the others are not."""
    rng = torch.Generator().manual_seed(0)
    labels = torch.randint(4, (600,), generator=rng)
    logits = torch.randn(len(CANDIDATES), 600, 4, generator=rng)
    half = (torch.arange(600) < 300)[:, None]
    truth = torch.nn.functional.one_hot(labels, 4)
    logits[CANDIDATES.index("identity")] += 1.0 * truth
    logits[CANDIDATES.index("zoom1.2")] += 4.0 * truth * half
    logits[CANDIDATES.index("hflip")] += 4.0 * truth * ~half
    return ViewLogits(CANDIDATES, logits, labels)


@pytest.mark.slow
def test_greedy_search_finds_the_views_that_complete_each_other(results: ViewLogits) -> None:
    tuned = tune(results, "gps:2")
    assert set(tuned.policy.views) == {"zoom1.2", "hflip"}
    assert tuned.policy.name == "gps:2"
    assert tuned.policy.max_views == 2
    assert tuned.accuracy > evaluate_center(results).accuracy + 0.1
    assert tuned.log_likelihood > evaluate_center(results).log_likelihood
    longer = tune(results, "gps:4").policy.views
    assert longer[:2] == tuned.policy.views
    assert len(set(longer)) == 4
    assert parse_policy("gps:2", [tuned.policy]) is tuned.policy


@pytest.mark.slow
def test_learned_weights_are_large_for_informative_views(results: ViewLogits) -> None:
    tuned = tune(results, "learned")
    weights = dict(zip(tuned.policy.views, tuned.policy.weights, strict=True))
    assert sorted(weights, key=lambda name: -weights[name])[:2] in (["zoom1.2", "hflip"], ["hflip", "zoom1.2"])
    assert weights["zoom1.2"] > 0.2
    assert tuned.accuracy > evaluate_center(results).accuracy + 0.1


def test_the_calibrated_log_likelihood_does_not_depend_on_overconfidence() -> None:
    rng = torch.Generator().manual_seed(1)
    labels = torch.randint(5, (400,), generator=rng)
    logits = torch.randn(400, 5, generator=rng) + 2 * torch.nn.functional.one_hot(labels, 5)
    plain = calibrated_log_likelihood(logits.softmax(1), labels)
    assert calibrated_log_likelihood((4 * logits).softmax(1), labels) == pytest.approx(plain, abs=0.02)
    assert calibrated_log_likelihood(torch.randn(400, 5, generator=rng).softmax(1), labels) < plain
    certain = torch.eye(5)[labels]
    assert np.isfinite(calibrated_log_likelihood(certain, labels))


def test_the_chosen_policy_comes_first_and_replaces_an_older_one() -> None:
    old, other = Policy("gps:1", "all", ("hflip",), 1), parse_policy("hflip")
    new = Policy("gps:1", "all", ("zoom1.2",), 1)
    assert put_first((old, other), new) == (new, other)


def test_a_policy_is_evaluated_on_images_that_it_was_not_found_on() -> None:
    rng = torch.Generator().manual_seed(2)
    labels = torch.randint(4, (60,), generator=rng)
    noise = ViewLogits(CANDIDATES, torch.randn(len(CANDIDATES), 60, 4, generator=rng), labels)
    for text in ("gps:1", "gps:3"):
        tuned = tune(noise, text)
        average = noise.logits[[CANDIDATES.index(name) for name in tuned.policy.views]].softmax(2).mean(0)
        found_on_itself = float((average.argmax(1) == labels).float().mean())
        assert tuned.accuracy < found_on_itself  # as no view is informative, the search has only found noise


def test_copies_of_an_image_stay_together(results: ViewLogits) -> None:
    copied = dataclasses.replace(results, source=torch.arange(600) % 200)
    tuned = tune(copied, parse_policy("hflip"))
    assert tuned.image_accuracy.shape == (200,)
    assert tuned.image_accuracy.mean() == pytest.approx(tuned.accuracy)
    assert tuned.accuracy == tune(results, parse_policy("hflip")).accuracy


@pytest.mark.slow
def test_views_are_also_found_for_the_mean_of_logits(results: ViewLogits) -> None:
    tuned = tune(results, "gps:2+logits")
    assert (tuned.policy.name, tuned.policy.averages) == ("gps:2+logits", "logits")
    assert set(tuned.policy.views) == {"zoom1.2", "hflip"}
    assert tuned.accuracy > evaluate_center(results).accuracy + 0.1
    learned = tune(results, "learned+logits")
    assert (learned.policy.name, learned.policy.averages) == ("learned+logits", "logits")
    assert learned.accuracy > evaluate_center(results).accuracy + 0.1


def test_a_given_policy_is_evaluated_with_what_it_averages(results: ViewLogits) -> None:
    rows = [CANDIDATES.index(name) for name in ("identity", "hflip")]
    for text, average in (
        ("hflip", results.logits[rows].softmax(2).mean(0)), ("hflip+logits", results.logits[rows].mean(0)),
    ):  # fmt: skip
        expected = float((average.argmax(1) == results.labels).float().mean())
        assert tune(results, parse_policy(text)).accuracy == pytest.approx(expected)


def test_the_usual_policies_average_both() -> None:
    for has_predictor, hflip in product((False, True), repeat=2):
        names = default_policies(has_predictor, hflip=hflip)
        assert len(set(names)) == len(names)
        for name in names:
            if is_found_by_tuning(name):
                parse_tuning(name)
            elif (policy := parse_policy(name)).averages == "logits":
                assert policy.max_views > 1
                assert name.replace("+logits", "") in names


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.slow
def test_a_few_images_are_no_error(results: ViewLogits, count: int) -> None:
    few = results.take(torch.arange(count))
    for text in ("gps:2", "learned", "gps:2+logits", "learned+logits"):
        assert np.isfinite(tune(few, text).log_likelihood)


def test_a_ranking_policy_takes_the_view_with_the_lowest_predicted_loss(results: ViewLogits) -> None:
    losses = np.zeros((600, len(VIEWS)), np.float32)
    losses[:, list(VIEWS).index("zoom1.2")] = -1
    zoomed = results.logits[CANDIDATES.index("zoom1.2")].argmax(1) == results.labels
    tuned = tune(dataclasses.replace(results, predicted_losses=losses), parse_policy("top:1"))
    assert tuned.accuracy == pytest.approx(float(zoomed.float().mean()))


@pytest.mark.parametrize(
    "text",
    ["gps:0", "gps:24", "gps:", "gps:x", "gps", "best", "gps:2+logits+logits", "gps:\u0663", f"gps:{'9' * 5000}"],
)
def test_a_text_that_is_not_tuned_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"gps:K.* 1 to 23.* learned; got"):
        parse_tuning(text)


@pytest.mark.slow
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_weights_are_learned_whatever_the_caller_does(results: ViewLogits, mode: Any) -> None:
    expected = learn_weights(results)
    with mode():
        within = dataclasses.replace(results, logits=results.logits.clone(), labels=results.labels.clone())
        assert learn_weights(within) == expected
