"""Calibration changes how sure a decision is, never what it says; and what a file holds is checked."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allweather.runtimes.errors import UsageError
from allweather.runtimes.tta.aggregate import average, probabilities
from allweather.runtimes.tta.confidence_model import Acceptance, ConfidenceModel, energy, with_temperature
from allweather.runtimes.tta.policy_names import parse_policy
from allweather.runtimes.types import Floats

ACCEPTANCE = Acceptance(threshold=0.8, risk=0.02, level=0.95, images=500, accepted=300, errors=2)
MODEL = ConfidenceModel((2.0, 1.5), (-1.0, -2.0), ACCEPTANCE)

several_logits = st.lists(
    st.lists(st.floats(-60, 60, width=32), min_size=3, max_size=3), min_size=1, max_size=4
).map(lambda rows: np.array(rows, np.float32))  # fmt: skip


@settings(deadline=None)
@given(logits=several_logits, temperature=st.floats(0.05, 20), averages=st.sampled_from(("probabilities", "logits")))
@pytest.mark.slow
def test_the_order_of_the_classes_stays(logits: Floats, temperature: float, averages: str) -> None:
    before = average(logits, (), averages)  # type: ignore[arg-type]
    after = with_temperature(before, temperature)
    assert after.dtype == np.float32
    assert float(after.sum()) == pytest.approx(1, abs=1e-5)
    assert after[before.argmax()] == after.max()
    assert (np.diff(after[np.argsort(before, kind="stable")]) >= 0).all()


@settings(deadline=None)
@given(logits=several_logits, temperature=st.floats(0.3, 20))
@pytest.mark.slow
def test_probabilities_to_a_power_are_the_softmax_of_divided_logits(logits: Floats, temperature: float) -> None:
    expected = probabilities(logits.astype(np.float64) / temperature)
    np.testing.assert_allclose(with_temperature(probabilities(logits), temperature), expected, atol=1e-6)


def test_a_temperature_for_each_number_of_views_and_the_last_for_any_further() -> None:
    even = np.array([0.8, 0.2], np.float32)
    for views_run, temperature in ((1, 2.0), (2, 1.5), (3, 1.5), (64, 1.5)):
        np.testing.assert_array_equal(MODEL.calibrated(even, views_run), with_temperature(even, temperature))
    assert [MODEL.is_unknown(-1.5, views_run) for views_run in (1, 2, 5)] == [False, True, True]


def test_the_energy_is_high_where_no_logit_is_large() -> None:
    logits = np.array([[0, 0], [9, 0], [math.nan, 3], [-math.inf, -math.inf], [math.inf, 0]], np.float32)
    expected = [-math.log(2), -math.log(math.exp(9) + 1), -3, math.inf, -np.finfo(np.float64).max]
    np.testing.assert_allclose(energy(logits), expected)
    assert MODEL.is_unknown(math.inf, 1)
    assert MODEL.is_unknown(math.nan, 1)


def test_only_a_known_image_with_enough_confidence_is_accepted() -> None:
    assert [MODEL.accepts(value, unknown=False) for value in (0.79, 0.8, 1.0)] == [False, True, True]
    assert MODEL.accepts(1.0, unknown=True) is False
    assert replace(MODEL, acceptance=None).accepts(1.0, unknown=False) is None
    assert ACCEPTANCE.coverage == 0.6


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"threshold": 1.5}, "threshold of accepted decisions is 0 to 1; got 1.5"),
        ({"threshold": math.nan}, "threshold"),
        ({"risk": 0.0}, "risk of accepted decisions is above 0 and below 1; got 0.0"),
        ({"level": 1.0}, "level of accepted decisions"),
        ({"errors": 301}, "got 301 errors, 300 accepted, 500 images"),
        ({"accepted": 0, "errors": 0}, "0 accepted"),
        ({"images": 1.5}, "images must be a whole number; got 1.5"),
    ],
)
def test_bad_acceptance(change: dict[str, float], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        replace(ACCEPTANCE, **change)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("temperatures", "energies", "words"),
    [
        ((), (), "1 to 64 temperatures"),
        ((1.0,) * 65, (0.0,) * 65, "1 to 64 temperatures"),
        ((1.0,), (0.0, 0.0), "as many energies; got 1 and 2"),
        ((0.0,), (0.0,), "temperature is 0.05 to 20; got 0"),
        ((math.nan,), (0.0,), "temperature is"),
        ((1.0,), (math.inf,), "finite"),
        (("1",), (0.0,), "temperatures must be"),
    ],
)
def test_bad_confidence_model(temperatures: tuple[float, ...], energies: tuple[float, ...], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        ConfidenceModel(temperatures, energies)


def test_a_confidence_model_belongs_to_its_policy() -> None:
    tuned = replace(parse_policy("top:1"), confidence_model=MODEL)
    assert parse_policy("top:1", (tuned,)).confidence_model is MODEL
    assert parse_policy("top:1@0.9", (tuned,)).confidence_model is None
    assert parse_policy("top:1+logits", (tuned,)).confidence_model is None
    assert tuned.with_predictor_views(("identity", "hflip")).confidence_model is None
    fixed = replace(parse_policy("hflip"), confidence_model=MODEL)
    assert fixed.with_predictor_views(("identity", "zoom1.2")).confidence_model is MODEL
