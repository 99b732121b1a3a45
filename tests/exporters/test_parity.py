"""The parity gate: which models pass, and the reasons for which it rejects the others."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from allweather.exporters.parity import (
    MAX_ACCURACY_DROP,
    THRESHOLDS,
    ModelOutputs,
    check_parity,
    images_note,
    tolerance,
)
from allweather.runtimes.bundle.manifest import Precision
from allweather.runtimes.types import Floats

PRECISIONS: list[Precision] = list(THRESHOLDS)
COUNT = 1000


def logits_of(classes: np.ndarray, value: float = 8.0) -> Floats:
    """Logits that predict these classes."""
    return np.asarray(value * np.eye(4)[classes], np.float32)


def incorrect_on(share: float, seed: int = 0) -> tuple[Floats, Floats, np.ndarray]:
    """Logits of an engine, of torch, and labels: torch is always correct, the engine is not on a share of images."""
    labels = np.random.default_rng(seed).integers(0, 4, COUNT)
    ours = labels.copy()
    ours[: round(share * COUNT)] = (ours[: round(share * COUNT)] + 1) % 4
    return logits_of(ours), logits_of(labels), labels


@pytest.mark.parametrize("precision", PRECISIONS)
def test_torch_itself_passes(precision: Precision) -> None:
    _, reference, labels = incorrect_on(0)
    both = ModelOutputs(reference, reference)
    result = check_parity(both, both, labels, precision)
    assert result.reason == ""
    parity = result.parity
    assert (parity.agreement, parity.accuracy, parity.corrupted_accuracy) == (1, 1, 1)
    assert parity.largest_logit_difference == 0


@pytest.mark.parametrize("kind", ["clean", "corrupted"])
def test_lost_accuracy_is_rejected_on_clean_and_on_corrupted_images(kind: str) -> None:
    bad, reference, labels = incorrect_on(0.02)
    outputs = ModelOutputs(bad, reference) if kind == "clean" else ModelOutputs(reference, bad)
    reason = check_parity(outputs, ModelOutputs(reference, reference), labels, "int8").reason
    assert reason == f"it loses 2.0 points of accuracy on {kind} images; 0.5 are allowed"


@pytest.mark.parametrize("kind", ["bright", "dark"])
def test_lost_accuracy_is_rejected_on_bright_and_on_dark_images(kind: str) -> None:
    labels = np.arange(COUNT) % 4
    reference = logits_of(labels)
    parts = {"bright": reference[::2], "dark": reference[1::2]}
    theirs = ModelOutputs(reference, reference, **parts)
    worse = parts[kind].copy()
    worse[:40] = worse[:40, ::-1]  # 8 points, all on images that clean and corrupted ones say nothing about
    ours = ModelOutputs(reference, reference, **{**parts, kind: worse})
    result = check_parity(ours, theirs, labels, "int8")
    assert result.reason == f"it loses 8.0 points of accuracy on {kind} images; 0.5 are allowed"
    assert (result.parity.accuracy, result.parity.corrupted_accuracy, result.parity.agreement) == (1, 1, 1)
    assert check_parity(theirs, theirs, labels, "int8").reason == ""


def test_the_gate_says_what_it_cannot_see_with_few_images() -> None:
    note = images_note(15)
    assert "has 15 validation images, which decide nothing" in note
    assert "may still differ on up to 18 % of others" in note
    assert "can be seen with about 598" in note
    assert "decide little" in images_note(200)
    assert images_note(600) == images_note(1000) == ""


@given(gained=st.integers(0, 60), lost=st.integers(0, 60))
@pytest.mark.slow
def test_only_a_drop_beyond_chance_is_rejected(gained: int, lost: int) -> None:
    labels = np.zeros(COUNT, np.int64)
    theirs, ours = labels.copy(), labels.copy()
    ours[:lost] = 1  # only torch is correct
    theirs[lost : lost + gained] = 1  # only the engine is correct
    outputs, reference = logits_of(ours), logits_of(theirs)
    result = check_parity(ModelOutputs(outputs, outputs), ModelOutputs(reference, reference), labels, "int8")
    drop, standard_error = (lost - gained) / COUNT, np.sqrt(gained + lost) / COUNT
    assert ("points of accuracy" in result.reason) == (drop - standard_error > MAX_ACCURACY_DROP)
    assert result.parity.agreement == pytest.approx(1 - (gained + lost) / COUNT)
    assert ("agrees with torch" in result.reason) == (result.parity.agreement < THRESHOLDS["int8"].min_agreement)


def test_logits_of_fp32_must_be_torchs() -> None:
    _, reference, labels = incorrect_on(0)
    outputs, both = ModelOutputs(reference + np.float32(0.5), reference), ModelOutputs(reference, reference)
    reason = check_parity(outputs, both, labels, "fp32").reason
    assert reason == "its logits differ from those of torch by up to 0.5; 0.01 is allowed"
    assert check_parity(outputs, both, labels, "int8").reason == ""


def test_logits_so_large_that_float32_rounds_them_are_those_of_too_short_a_training() -> None:
    logits = np.array([[2e6, 0.0], [0.0, -1e6]], np.float32)
    labels = np.array([0, 0])
    reason = check_parity(
        ModelOutputs(logits + np.float32(0.5), logits), ModelOutputs(logits, logits), labels, "fp32"
    ).reason
    assert "0.01 is allowed, and its logits reach 2e+06, as those of a classifier that is hardly trained" in reason


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_logits_that_are_not_finite_are_rejected(precision: Precision, bad: float) -> None:
    _, reference, labels = incorrect_on(0)
    logits = reference.copy()
    logits[3, 1] = bad
    outputs, both = ModelOutputs(reference, logits), ModelOutputs(reference, reference)
    result = check_parity(outputs, both, labels, precision)
    assert "its logits are not finite" in result.reason
    assert np.isfinite(result.parity.largest_logit_difference)
    assert np.isfinite(tolerance(precision, logits, reference))


def test_a_predictor_must_keep_its_order() -> None:
    losses = np.random.default_rng(0).random((COUNT, 12)).astype(np.float32)
    reordered = losses.copy()
    reordered[:80] = -reordered[:80]
    reference = ModelOutputs(losses, None)
    assert check_parity(reference, reference, None, "int8").reason == ""
    result = check_parity(ModelOutputs(reordered, None), reference, None, "int8")
    agreement = 100 * result.parity.agreement
    assert result.reason == f"it agrees with torch on {agreement:.1f} % of images; 95 % are needed"
    assert 90 < agreement < 95
    assert result.parity.accuracy is None
    assert result.parity.corrupted_accuracy is None


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_tolerance_allows_rounding_but_not_other_outputs(precision: Precision) -> None:
    golden = logits_of(np.arange(4).repeat(2))
    share = {"fp32": 0.00125, "fp16": 0.01}.get(precision, 0.03)
    assert tolerance(precision, golden, golden) == pytest.approx(share * 8)
    assert tolerance(precision, golden + 3, golden) == (0.01 if precision == "fp32" else 1.5)
    assert tolerance(precision, golden, golden) < np.abs(golden).max()  # so outputs that are all 0 are refused
    assert tolerance(precision, 0 * golden, 0 * golden) > 0
