"""Whether a decision is accepted, and whether its image is unknown: for frames, batches and objects alike."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from allweather.runtimes.engines.fake import FakeEngine
from allweather.runtimes.perceiver import Perceiver
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.sinks.jsonl import json_line
from allweather.runtimes.tta.confidence_model import Acceptance, ConfidenceModel, with_temperature
from allweather.runtimes.tta.latency_model import LatencyModel
from allweather.runtimes.tta.policy import Policy
from allweather.runtimes.tta.policy_names import parse_policy
from allweather.runtimes.types import Budget, Decision, Floats, Image

# the fake engine gives the logits 4, 0, 0, 0, whose softmax has a largest value of 0.948 and whose energy is -4.05
CONFIDENCE, ENERGY = 0.948, -4.05


def perceiver(policy: Policy, budget: float = math.inf, clock: float = 0.0) -> Perceiver:
    return Perceiver(
        FakeEngine(4), tuple("abcd"), InputSpec(4, 4), Budget(budget), policy=policy,
        view_latency=LatencyModel({1: 1.0, 2: 1.0}), clock=lambda: clock,
    )  # fmt: skip


def with_model(text: str, threshold: float | None, *, temperature: float = 2.0, max_energy: float = -1.0) -> Policy:
    acceptance = None if threshold is None else Acceptance(threshold, 0.02, 0.95, 500, 300, 2)
    return replace(parse_policy(text), confidence_model=ConfidenceModel((temperature,), (max_energy,), acceptance))


def image(gray: int) -> Image:
    return np.full((6, 6, 3), gray, np.uint8)


def decisions(policy: Policy, gray: int = 200) -> list[Decision]:
    """One decision on the same image by each of the three ways."""
    frame = image(gray)
    return [
        perceiver(policy)(frame),
        *perceiver(policy).batch([frame]),
        *perceiver(policy).objects(frame, [(0, 0, 6, 6)]),
    ]


@pytest.mark.parametrize("text", ["center", "hflip", "hflip+logits", "hflip@0.9"])
def test_confidence_is_calibrated_and_the_label_stays(text: str) -> None:
    for plain, calibrated in zip(decisions(parse_policy(text)), decisions(with_model(text, None)), strict=True):
        assert plain.confidence == pytest.approx(CONFIDENCE, abs=1e-3)
        np.testing.assert_allclose(calibrated.probabilities, with_temperature(plain.probabilities, 2.0))
        assert calibrated.confidence == pytest.approx(float(calibrated.probabilities.max()))
        assert (calibrated.label, calibrated.views) == (plain.label, plain.views)
        assert calibrated.reason == plain.reason  # of an early exit: it does not look at the calibrated confidence
        assert (plain.accepted, plain.unknown) == (calibrated.accepted, calibrated.unknown) == (None, False)


@pytest.mark.parametrize("text", ["center", "hflip", "hflip@0.9"])
def test_accepted_from_the_threshold_on(text: str) -> None:
    calibrated = decisions(with_model(text, None))[0].confidence
    for threshold, accepted in ((calibrated, True), (float(np.nextafter(calibrated, 1)), False), (0.0, True)):
        assert [each.accepted for each in decisions(with_model(text, threshold))] == [accepted] * 3


def test_an_unknown_image_is_not_accepted() -> None:
    for each in decisions(with_model("hflip", 0.1, max_energy=ENERGY - 0.1)):
        assert (each.unknown, each.accepted) == (True, False)
    for each in decisions(with_model("hflip", None, max_energy=ENERGY - 0.1)):
        assert (each.unknown, each.accepted) == (True, None)
    assert not any(each.unknown for each in decisions(with_model("hflip", 0.1, max_energy=ENERGY + 0.1)))


def test_logits_that_are_no_numbers_are_unknown() -> None:
    class BrokenEngine(FakeEngine):
        def infer(self, images: Image) -> Floats:
            return np.full((len(images), 4), np.nan, np.float32)

    broken = Perceiver(BrokenEngine(4), tuple("abcd"), InputSpec(4, 4), policy=with_model("center", 0.0))
    decision = broken(image(1))
    assert (decision.unknown, decision.accepted, decision.confidence) == (True, False, 0.25)


def test_an_object_that_there_was_no_time_for_is_not_accepted() -> None:
    boxes = [(0, 0, 6, 6)] * 2
    for policy, accepted in ((with_model("center", 0.0), False), (with_model("center", None), None)):
        *_, last = perceiver(policy, budget=0.1).objects(image(9), boxes)
        assert (last.reason, last.label, last.accepted, last.unknown) == ("undecided", "", accepted, False)


def test_the_log_has_both() -> None:
    line = json.loads(json_line(decisions(with_model("center", 0.0))[0], 1.0))
    assert (line["accepted"], line["unknown"]) == (True, False)
    assert json.loads(json_line(decisions(parse_policy("center"))[0], 1.0))["accepted"] is None
