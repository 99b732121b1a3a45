"""The parity gate: what it lets through, and what it holds against a model."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from allweather.exporters.parity import MAX_ACCURACY_DROP, THRESHOLDS, ModelOutputs, check_parity, tolerance
from allweather.runtimes.bundle.manifest import Precision
from allweather.runtimes.types import Floats

PRECISIONS: list[Precision] = list(THRESHOLDS)
COUNT = 1000


def answers(classes: np.ndarray, score: float = 8.0) -> Floats:
    return np.asarray(score * np.eye(4)[classes], np.float32)


def flipped(share: float, seed: int = 0) -> tuple[Floats, Floats, np.ndarray]:
    """(ours, torch's, labels): torch is always right, and we are wrong on a share of pictures."""
    labels = np.random.default_rng(seed).integers(0, 4, COUNT)
    ours = labels.copy()
    ours[: round(share * COUNT)] = (ours[: round(share * COUNT)] + 1) % 4
    return answers(ours), answers(labels), labels


@pytest.mark.parametrize("precision", PRECISIONS)
def test_torch_itself_passes(precision: Precision) -> None:
    _, wanted, labels = flipped(0)
    both = ModelOutputs(wanted, wanted)
    verdict = check_parity(both, both, labels, precision)
    assert verdict.reason == ""
    parity = verdict.parity
    assert (parity.agreement, parity.accuracy, parity.corrupted_accuracy) == (1, 1, 1)
    assert parity.largest_logit_difference == 0


@pytest.mark.parametrize("kind", ["clean", "corrupted"])
def test_lost_accuracy_is_refused_clean_or_corrupted(kind: str) -> None:
    bad, wanted, labels = flipped(0.02)
    got = ModelOutputs(bad, wanted) if kind == "clean" else ModelOutputs(wanted, bad)
    reason = check_parity(got, ModelOutputs(wanted, wanted), labels, "int8").reason
    assert reason == f"it loses 2.0 points of accuracy on {kind} pictures, 0.5 are allowed"


@given(right=st.integers(0, 60), wrong=st.integers(0, 60))
def test_what_is_lost_for_sure_is_refused_and_nothing_else(right: int, wrong: int) -> None:
    labels = np.zeros(COUNT, np.int64)
    wanted, ours = labels.copy(), labels.copy()
    ours[:wrong] = 1  # torch was right
    wanted[wrong : wrong + right] = 1  # we are right
    got, reference = answers(ours), answers(wanted)
    verdict = check_parity(ModelOutputs(got, got), ModelOutputs(reference, reference), labels, "int8")
    lost, error = (wrong - right) / COUNT, np.sqrt(right + wrong) / COUNT
    assert ("points of accuracy" in verdict.reason) == (lost - error > MAX_ACCURACY_DROP)
    assert verdict.parity.agreement == pytest.approx(1 - (right + wrong) / COUNT)
    assert ("torch's answer" in verdict.reason) == (verdict.parity.agreement < THRESHOLDS["int8"].agreement)


def test_logits_of_fp32_must_be_torchs() -> None:
    _, wanted, labels = flipped(0)
    off = ModelOutputs(wanted + np.float32(0.5), wanted)
    reason = check_parity(off, ModelOutputs(wanted, wanted), labels, "fp32").reason
    assert reason == "its logits are off by 0.5 from torch's, 0.01 is allowed"
    assert check_parity(off, ModelOutputs(wanted, wanted), labels, "int8").reason == ""


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_answers_that_are_no_numbers_are_refused(precision: Precision, bad: float) -> None:
    _, wanted, labels = flipped(0)
    got = wanted.copy()
    got[3, 1] = bad
    verdict = check_parity(ModelOutputs(wanted, got), ModelOutputs(wanted, wanted), labels, precision)
    assert "its logits are off by 1e+09" in verdict.reason
    assert np.isfinite(tolerance(precision, got, wanted))


def test_a_predictor_must_keep_its_order() -> None:
    losses = np.random.default_rng(0).random((COUNT, 12)).astype(np.float32)
    turned = losses.copy()
    turned[:80] = -turned[:80]
    wanted = ModelOutputs(losses, None)
    assert check_parity(wanted, wanted, None, "int8").reason == ""
    verdict = check_parity(ModelOutputs(turned, None), wanted, None, "int8")
    assert "it gives torch's answer to 9" in verdict.reason
    assert verdict.parity.accuracy is None
    assert verdict.parity.corrupted_accuracy is None


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_device_may_round_differently_but_not_answer_differently(precision: Precision) -> None:
    golden = answers(np.arange(4).repeat(2))
    span = {"fp32": 0.00125, "fp16": 0.01}.get(precision, 0.03)
    assert tolerance(precision, golden, golden) == pytest.approx(span * 8)
    assert tolerance(precision, golden + 3, golden) == (0.01 if precision == "fp32" else 1.5)
    assert tolerance(precision, golden, golden) < np.abs(golden).max()  # all zeros are refused
    assert tolerance(precision, 0 * golden, 0 * golden) > 0
