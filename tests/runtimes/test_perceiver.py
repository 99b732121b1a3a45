"""The perceiver with a fake engine and a fake clock: every number of a decision is known in advance."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allweather.runtimes.bundle.bundle import Bundle
from allweather.runtimes.engines.fake import FakeEngine
from allweather.runtimes.errors import BundleError, UsageError
from allweather.runtimes.load import load
from allweather.runtimes.perceiver import LossPredictor, Perceiver
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.region import Region
from allweather.runtimes.tta.policy_names import parse_policy
from allweather.runtimes.tta.views import VIEWS, view
from allweather.runtimes.types import Budget, Floats, Frame, Image

CLASSES = ("night", "dusk", "dawn", "day")


class Clock:
    """Advances by a tick at each call, and by the time that is slept."""

    def __init__(self, tick: float = 0.0) -> None:
        self.now, self.tick = 1000.0, tick

    def __call__(self) -> float:
        self.now += self.tick
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def make_perceiver(clock: Clock, *, seconds: float = 0.0, budget: float = math.inf) -> Perceiver:
    engine = FakeEngine(len(CLASSES), seconds, clock.sleep)
    return Perceiver(engine, CLASSES, InputSpec(8, 8), Budget(budget), clock=clock)


def gray(value: int, height: int = 12, width: int = 16) -> Image:
    return np.full((height, width, 3), value, np.uint8)


@pytest.mark.parametrize("captured", [1.8e9, math.nan, math.inf, -math.inf, "12:00", None])
def test_a_frame_that_was_stamped_by_another_clock_is_refused(captured: Any) -> None:
    """A frame of time.time() came from the future, so that it had all the time in the world and was never late."""
    perceiver = make_perceiver(Clock(), budget=0.033)
    frame = Frame(gray(0), 0, captured)
    calls = (
        lambda: perceiver.decide(frame),
        lambda: perceiver.objects(frame, [[0, 0, 4, 4]]),
        lambda: perceiver.decide_regions(frame, [Region(0, 0, 4, 4)]),
    )
    for call in calls:
        with pytest.raises(UsageError, match=r"stamped by time.monotonic\(\), which says 1000.000; got captured="):
            call()
    with pytest.raises(UsageError, match=r"expected a Frame; got ndarray: for an image, call perceiver\(image\)"):
        perceiver.decide(gray(0))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="expected a Frame; got ndarray"):
        perceiver.decide_regions(gray(0), [Region(0, 0, 4, 4)])  # type: ignore[arg-type]


@settings(deadline=None)
@given(value=st.integers(0, 255), height=st.integers(1, 40), width=st.integers(1, 40))
@pytest.mark.slow
def test_the_label_follows_the_brightness(value: int, height: int, width: int) -> None:
    decision = make_perceiver(Clock())(gray(value, height, width))
    assert decision.label == CLASSES[value // 64]
    assert decision.probabilities.dtype == np.float32
    assert decision.probabilities.shape == (4,)
    assert float(decision.probabilities.sum()) == pytest.approx(1, abs=1e-6)
    assert decision.confidence == decision.probabilities.max() == decision.probabilities[value // 64]
    assert (decision.views, decision.predicted_losses) == (("identity",), ())


@pytest.mark.parametrize(("policy", "expected"), [("center", 1.0), ("hflip", 1.0), ("set:identity,gamma2", 0.5)])
def test_agreement_is_the_share_of_views_that_have_the_label(policy: str, expected: float) -> None:
    """Darkened by gamma, an image at dusk is one at night."""
    engine = FakeEngine(len(CLASSES))
    perceiver = Perceiver(engine, CLASSES, InputSpec(8, 8), policy=parse_policy(policy), clock=Clock())
    decisions = [perceiver(gray(100)), *perceiver.batch([gray(100)]), *perceiver.objects(gray(100), [(0, 0, 8, 8)])]
    assert [each.agreement for each in decisions] == [expected] * 3


@settings(deadline=None)
@given(
    waited=st.integers(0, 64), seconds=st.integers(0, 64), ticks=st.integers(0, 8), budget=st.integers(1, 128),
    index=st.integers(0, 2**40), skipped=st.integers(0, 99),
)  # fmt: skip
@pytest.mark.slow
def test_times_add_up_and_late_is_after_the_deadline(
    waited: int, seconds: int, ticks: int, budget: int, index: int, skipped: int
) -> None:
    """In sixteenths of a second, which add up without rounding."""
    clock = Clock(ticks / 16)
    frame = Frame(gray(200), index, clock.now)
    clock.sleep(waited / 16)
    decision = make_perceiver(clock, seconds=seconds / 16, budget=budget / 16).decide(frame, skipped)
    spent = decision.times.total
    assert decision.age == clock.now - frame.captured
    assert decision.age == (waited + ticks) / 16 + spent  # one tick is the first reading of the clock
    assert decision.times.infer == (seconds + ticks) / 16
    others = (decision.times.prepare, decision.times.views, decision.times.aggregate)
    assert others == (ticks / 16,) * 3
    planning = (decision.times.rank, decision.times.plan)  # each reads the clock once more, for the time left
    assert planning == (2 * ticks / 16,) * 2
    assert decision.late is (waited + seconds + 9 * ticks > budget)
    assert (decision.index, decision.skipped) == (index, skipped)


def test_without_a_budget_nothing_is_late() -> None:
    assert not make_perceiver(Clock(), seconds=1e9)(gray(0)).late


def test_images_without_a_camera_are_counted() -> None:
    perceiver = make_perceiver(Clock(0.5))
    decisions = [perceiver(gray(0)) for _ in range(3)]
    assert [decision.index for decision in decisions] == [0, 1, 2]
    assert [decision.age for decision in decisions] == [4.5, 4.5, 4.5]
    assert [decision.skipped for decision in decisions] == [0, 0, 0]


def test_the_image_is_not_changed_and_may_change_afterwards() -> None:
    image = gray(200, 8, 8)
    image.setflags(write=False)
    first = make_perceiver(Clock())(image)
    assert (image == 200).all()
    probabilities = first.probabilities.copy()
    make_perceiver(Clock())(gray(0))
    np.testing.assert_array_equal(first.probabilities, probabilities)


@pytest.mark.parametrize("image", [None, "day.png", gray(0).astype(float), gray(0)[..., :1], gray(0)[:0]])
def test_an_invalid_image_is_refused_and_not_counted(image: Any) -> None:
    perceiver = make_perceiver(Clock())
    with pytest.raises(UsageError, match="an image is"):
        perceiver(image)
    assert perceiver(gray(0)).index == 0


@pytest.mark.parametrize("name", ["bundle", "bundle.zip"])
def test_load_opens_a_bundle_with_the_fake_engine(real: Any, tmp_path: Path, name: str) -> None:
    with load(real.write(tmp_path / name), engine="fake", budget_ms=20) as perceiver:
        assert perceiver.classes == real.manifest.classes
        assert (perceiver.spec.height, perceiver.spec.width) == (8, 8)
        assert perceiver.budget == Budget(0.02)
        assert perceiver(gray(255)).label == "snow"


@pytest.mark.parametrize("engine", [None, "onnx", "openvino"])
def test_load_gives_the_probabilities_of_numpy(real_bundle: Bundle, network: Any, engine: str | None) -> None:
    image = real_bundle.golden_frames()[0]
    with load(str(real_bundle.path), engine=engine) as perceiver:
        decision = perceiver(image)
    weights = np.exp(network.logits(image[None])[0].astype(float))
    np.testing.assert_allclose(decision.probabilities, weights / weights.sum(), atol=1e-5)
    assert decision.label == real_bundle.classes[int(weights.argmax())]
    assert not decision.late


@pytest.mark.parametrize("budget", [0, -1, math.nan, -math.inf])
def test_a_budget_that_no_frame_can_keep_is_refused_before_anything_is_opened(tmp_path: Path, budget: float) -> None:
    with pytest.raises(UsageError, match="a budget is above 0 milliseconds; got"):
        load(tmp_path / "none", budget_ms=budget)


def test_load_says_what_is_missing(real_bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no bundle at"):
        load(tmp_path / "none")
    with pytest.raises(UsageError, match="unknown engine 'tpu'"):
        load(real_bundle.path, engine="tpu")


class RankingEngine(FakeEngine):
    """A loss predictor that gives some views the lowest losses, in their order."""

    def __init__(self, *best: str) -> None:
        super().__init__(len(VIEWS))
        self.losses = np.ones((1, len(VIEWS)), np.float32)
        for rank, name in enumerate(best):
            self.losses[0, list(VIEWS).index(name)] = rank / 10

    def infer(self, images: Image) -> Floats:
        assert images.shape == (1, 4, 4, 3)  # its own input size, not that of the classifier
        return self.losses


@pytest.mark.parametrize(
    ("policy", "views", "losses"),
    [
        ("center", ("identity",), ()),
        ("hflip", ("identity", "hflip"), ()),
        ("top:1", ("zoom1.2",), (0.0,)),
        ("top:2", ("zoom1.2", "color2"), (0.0, 0.1)),
        ("top:2+flip", ("zoom1.2", "zoom1.2/hflip", "color2", "color2/hflip"), (0.0, 0.0, 0.1, 0.1)),
    ],
)
def test_a_policy_is_followed(policy: str, views: tuple[str, ...], losses: tuple[float, ...]) -> None:
    batches: list[Image] = []

    class RecordingEngine(FakeEngine):
        def infer(self, images: Image) -> Floats:
            batches.append(images)
            return super().infer(images)

    loss_predictor = LossPredictor(RankingEngine("zoom1.2", "color2"), InputSpec(4, 4))
    perceiver = Perceiver(
        RecordingEngine(4), CLASSES, InputSpec(8, 8), policy=parse_policy(policy), loss_predictor=loss_predictor
    )
    image = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    decision = perceiver(image)
    assert decision.views == views
    assert decision.predicted_losses == pytest.approx(losses)
    assert np.array_equal(batches[0], np.stack([view(name).apply(image) for name in views]))


@pytest.mark.parametrize(("share", "count"), [(0.2, 1), (0.99999, 12), (1, 12)])
def test_no_view_is_run_after_an_early_exit(share: float, count: int) -> None:
    batch_sizes: list[int] = []

    class CountingEngine(FakeEngine):
        def infer(self, images: Image) -> Floats:
            batch_sizes.append(len(images))
            return super().infer(images)

    perceiver = Perceiver(CountingEngine(4), CLASSES, InputSpec(8, 8), policy=parse_policy(f"all@{share}"))
    decision = perceiver(np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8))
    assert decision.views == tuple(VIEWS)[:count]
    assert sum(batch_sizes) == count
    assert len(batch_sizes) == (1 if share == 1 else count)
    assert decision.times.total > 0


def test_draws_differ_from_frame_to_frame_and_repeat_with_the_seed() -> None:
    def views_run(seed: int) -> list[tuple[str, ...]]:
        perceiver = Perceiver(FakeEngine(4), CLASSES, InputSpec(8, 8), policy=parse_policy("random:3"), seed=seed)
        return [perceiver(gray(9)).views for _ in range(5)]

    assert len(set(views_run(1))) > 1
    assert views_run(1) == views_run(1) != views_run(2)


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ("top:2", "policy top:2 needs a loss predictor, and there is none"),
        ("oracle:1", "policy oracle:1 chooses views by their true losses, which only 'allweather evaluate' knows"),
        ("gps:3", "policy gps:3 is found by tuning"),
        ("top:13", "number of views is 1 to 12; got 13"),
    ],
)
def test_a_policy_that_the_bundle_cannot_run_is_refused(real_bundle: Bundle, policy: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load(real_bundle.path, engine="fake", policy=policy)


def test_leaving_and_closing_close_the_engine() -> None:
    closed: list[int] = []

    class ClosingEngine(FakeEngine):
        def close(self) -> None:
            closed.append(1)

    with Perceiver(ClosingEngine(2), ("dark", "light"), InputSpec(8, 8)) as perceiver:
        assert closed == []
    assert closed == [1]
    with pytest.raises(ZeroDivisionError), Perceiver(ClosingEngine(2), ("dark", "light"), InputSpec(8, 8)):
        raise ZeroDivisionError
    assert closed == [1, 1]
    perceiver.close()
    assert closed == [1, 1, 1]


@pytest.mark.parametrize("engine", ["onnx", "openvino"])
def test_closing_inside_a_with_block_does_no_harm(real_bundle: Bundle, engine: str) -> None:
    with load(real_bundle.path, engine=engine) as perceiver:
        perceiver.close()


def test_a_perceiver_and_a_bundle_are_shown_on_one_short_line(real_bundle: Bundle) -> None:
    perceiver = Perceiver(FakeEngine(2), ("dark", "light"), InputSpec(8, 8), engine_name="onnx", precision="fp32")
    assert repr(perceiver) == "<Perceiver: onnx fp32, 2 classes, 8 x 8 px, policy center>"
    assert len(repr(real_bundle)) < 300


def test_a_batch_may_come_from_a_generator() -> None:
    perceiver = Perceiver(FakeEngine(2), ("dark", "light"), InputSpec(8, 8))
    assert [each.label for each in perceiver.batch(gray(value) for value in (0, 255))] == ["dark", "light"]
    for wrong in (7, "dark", None):
        with pytest.raises(UsageError, match="batch takes a sequence of images; got"):
            perceiver.batch(wrong)  # type: ignore[arg-type]
