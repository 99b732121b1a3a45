"""Many images at once, several threads, and images in the channel order of OpenCV."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from allweather.runtimes.engines.fake import FakeEngine
from allweather.runtimes.errors import UsageError
from allweather.runtimes.perceiver import LossPredictor, Perceiver
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.tta.policy_names import parse_policy
from allweather.runtimes.tta.views import VIEWS
from allweather.runtimes.types import Floats, Image

CLASSES = ("night", "dusk", "dawn", "day")
SPEC = InputSpec(8, 8)


class RankingEngine(FakeEngine):
    """A loss predictor that prefers later views for brighter images."""

    def infer(self, images: Image) -> Floats:
        best = images.reshape(len(images), -1).mean(axis=1) / 256 * len(VIEWS)
        return np.abs(np.arange(len(VIEWS)) - best[:, None]).astype(np.float32)


def gray(value: int) -> Image:
    return np.full((12, 16, 3), value, np.uint8)


@pytest.mark.parametrize(
    "policy", ["center", "hflip", "top:3", "top:2+flip", "all@0.9", "top:2+flip+logits", "all+logits@0.9"]
)
def test_a_batch_decides_as_one_by_one(policy: str) -> None:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (rng.integers(4, 20), rng.integers(4, 20), 3), np.uint8) for _ in range(31)]

    def make_perceiver() -> Perceiver:
        loss_predictor = LossPredictor(RankingEngine(len(VIEWS)), InputSpec(4, 4))
        return Perceiver(FakeEngine(4), CLASSES, SPEC, policy=parse_policy(policy), loss_predictor=loss_predictor)

    with make_perceiver() as one, make_perceiver() as many:
        alone, together = [one(image) for image in images], many.batch(images)
    assert [each.index for each in together] == list(range(31))
    for first, second in zip(alone, together, strict=True):
        assert (first.label, first.views, first.reason) == (second.label, second.views, second.reason)
        np.testing.assert_allclose(first.probabilities, second.probabilities, atol=1e-6)
        assert not second.late
        assert second.times.total > 0


def test_an_empty_batch_is_an_empty_list() -> None:
    assert Perceiver(FakeEngine(4), CLASSES, SPEC).batch([]) == []


def test_the_channel_order_of_opencv_can_be_chosen() -> None:
    class RedEngine(FakeEngine):
        def infer(self, images: Image) -> Floats:
            return super().infer(np.repeat(images[..., :1], 3, axis=3))

    perceiver = Perceiver(RedEngine(4), CLASSES, SPEC)
    image = gray(0)
    image[..., 2] = 255  # blue in RGB, red in BGR
    assert (perceiver(image).label, perceiver(image, bgr=True).label) == ("night", "day")
    assert [each.label for each in perceiver.batch([image], bgr=True)] == ["day"]
    for nothing in (None, "day.png"):
        with pytest.raises(UsageError, match="an image is"):
            perceiver(nothing, bgr=True)  # type: ignore[arg-type]


def test_threads_take_turns() -> None:
    busy, most = 0, 0

    class ExclusiveEngine(FakeEngine):
        def infer(self, images: Image) -> Floats:
            nonlocal busy, most
            busy += 1
            most = max(most, busy)
            logits = super().infer(images)
            busy -= 1
            return logits

    perceiver = Perceiver(ExclusiveEngine(4, 0.001), CLASSES, SPEC)
    labels: list[str] = []
    threads = [
        threading.Thread(target=lambda value=value: labels.extend(perceiver(gray(value)).label for _ in range(20)))
        for value in (10, 100, 250)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert most == 1
    assert sorted(labels) == sorted(["night", "dusk", "day"] * 20)
