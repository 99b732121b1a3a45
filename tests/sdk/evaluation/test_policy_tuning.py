"""Tuning: greedy search and learned weights find what was hidden in the answers."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from allweather.evaluation.policy_tuning import (
    CANDIDATES,
    ViewProbabilities,
    best,
    calibrated_likelihood,
    center,
    checked,
    chosen_first,
    tune,
)
from allweather.runtimes.errors import UsageError
from allweather.runtimes.tta.policy import Policy, parse_policy
from allweather.runtimes.tta.views import VIEWS


@pytest.fixture(scope="module")
def answers() -> ViewProbabilities:
    """Identity is fair; zoom1.2 and hflip know much, each of other pictures; the rest guess."""
    rng = torch.Generator().manual_seed(0)
    labels = torch.randint(4, (600,), generator=rng)
    logits = torch.randn(len(CANDIDATES), 600, 4, generator=rng)
    half = (torch.arange(600) < 300)[:, None]
    truth = torch.nn.functional.one_hot(labels, 4)
    logits[CANDIDATES.index("identity")] += 1.0 * truth
    logits[CANDIDATES.index("zoom1.2")] += 4.0 * truth * half
    logits[CANDIDATES.index("hflip")] += 4.0 * truth * ~half
    return ViewProbabilities(CANDIDATES, logits.softmax(2), labels)


def test_greedy_search_finds_the_views_that_complete_each_other(answers: ViewProbabilities) -> None:
    found = tune(answers, "gps:2")
    assert set(found.policy.views) == {"zoom1.2", "hflip"}
    assert found.policy.name == "gps:2"
    assert found.policy.max_views == 2
    assert found.accuracy > center(answers).accuracy + 0.1
    assert found.likelihood > center(answers).likelihood
    longer = tune(answers, "gps:4").policy.views
    assert longer[:2] == found.policy.views
    assert len(set(longer)) == 4
    assert parse_policy("gps:2", [found.policy]) is found.policy


def test_learned_weights_are_on_the_views_that_know(answers: ViewProbabilities) -> None:
    found = tune(answers, "learned")
    weights = dict(zip(found.policy.views, found.policy.weights, strict=True))
    assert sorted(weights, key=lambda name: -weights[name])[:2] in (["zoom1.2", "hflip"], ["hflip", "zoom1.2"])
    assert weights["zoom1.2"] > 0.2
    assert found.accuracy > center(answers).accuracy + 0.1


def test_calibration_takes_no_account_of_how_sure_a_vote_is() -> None:
    rng = torch.Generator().manual_seed(1)
    labels = torch.randint(5, (400,), generator=rng)
    logits = torch.randn(400, 5, generator=rng) + 2 * torch.nn.functional.one_hot(labels, 5)
    plain = calibrated_likelihood(logits.softmax(1), labels)
    assert calibrated_likelihood((4 * logits).softmax(1), labels) == pytest.approx(plain, abs=0.02)
    assert calibrated_likelihood(torch.randn(400, 5, generator=rng).softmax(1), labels) < plain
    assert torch.tensor(calibrated_likelihood(torch.eye(5)[labels], labels)).isfinite()  # sure of every answer


def test_the_chosen_policy_comes_first_and_replaces_an_older_one() -> None:
    old, other = Policy("gps:1", "all", ("hflip",), 1), parse_policy("hflip")
    new = Policy("gps:1", "all", ("zoom1.2",), 1)
    assert chosen_first((old, other), new) == (new, other)


def test_the_best_is_the_likeliest_that_is_cheap_enough(answers: ViewProbabilities) -> None:
    predicted = np.zeros((600, len(VIEWS)), np.float32)
    predicted[:, list(VIEWS).index("zoom1.2")] = -1
    seeing = dataclasses.replace(answers, predicted=predicted)
    found = [tune(seeing, each) for each in (parse_policy("top:1"), parse_policy("hflip"), "gps:2", "gps:3")]
    zoomed = answers.probabilities[CANDIDATES.index("zoom1.2")].argmax(1) == answers.labels
    assert found[0].accuracy == pytest.approx(float(zoomed.float().mean()))
    assert best(found, 1) is found[0]
    assert best(found, 2) is found[2]
    assert best(found, 9).likelihood == max(each.likelihood for each in found)
    with pytest.raises(UsageError, match="no policy looks at 1 pictures a frame or fewer; hflip looks at 2"):
        best(found[1:], 1)


@pytest.mark.parametrize("text", ["gps:0", "gps:19", "gps:", "gps:x", "gps", "best", "gps:\u0663"])
def test_what_cannot_be_tuned_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"tuning finds gps:K, with K from 1 to 18, and learned; got"):
        checked(text)
