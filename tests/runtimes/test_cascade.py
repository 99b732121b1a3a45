"""A cascade: where the classifier is not confident, a large classifier runs the same view, if there is time for it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allweather.runtimes.bundle.bundle import Bundle
from allweather.runtimes.engines.fake import FakeEngine
from allweather.runtimes.engines.watchdog import STALL_FACTOR, WatchdogEngine
from allweather.runtimes.errors import BundleError, UsageError
from allweather.runtimes.load import load
from allweather.runtimes.perceiver import LargeClassifier, LossPredictor, Perceiver
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.temporal import Smoother
from allweather.runtimes.tta.aggregate import probabilities
from allweather.runtimes.tta.latency_model import LatencyModel
from allweather.runtimes.tta.planner import BATCH_SIZES, Planner
from allweather.runtimes.tta.policy_names import parse_policy
from allweather.runtimes.tta.views import VIEWS
from allweather.runtimes.types import Budget, Decision, Floats, Frame, Image

SMALL, LARGE, PREDICTOR = 0.002, 0.010, 0.0005  # seconds for each image
CERTAIN, UNSURE = 200, 30  # gray levels
LAST = tuple(VIEWS)[-1]


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Classifier:
    """Is sure of bright images, and less so the darker one is; the large one says another class."""

    def __init__(self, clock: Clock, seconds: float, label: int) -> None:
        self.clock, self.seconds, self.label, self.images = clock, seconds, label, list[Image]()

    def infer(self, images: Image) -> Floats:
        self.images += list(images)
        self.clock.sleep(self.seconds * len(images))
        logits = np.zeros((len(images), 3), np.float32)
        logits[:, self.label] = images.reshape(len(images), -1).mean(1) / 20
        return logits

    def close(self) -> None:
        self.seconds = math.nan


class Predictor(FakeEngine):
    """Prefers the last of the views."""

    def infer(self, images: Image) -> Floats:
        self._sleep(PREDICTOR * len(images))
        return np.tile(np.linspace(2, 1, len(VIEWS), dtype=np.float32), (len(images), 1))


class Device:
    """A perceiver of a cascade whose latency models are exact."""

    def __init__(self, policy: str, budget: float = math.inf) -> None:
        self.clock = Clock()
        self.small, self.large = Classifier(self.clock, SMALL, 0), Classifier(self.clock, LARGE, 1)
        predictor = LossPredictor(Predictor(len(VIEWS), PREDICTOR, self.clock.sleep), InputSpec(4, 4))
        self.perceiver = Perceiver(
            self.small, tuple("abc"), InputSpec(4, 4), Budget(budget), policy=parse_policy(policy),
            loss_predictor=predictor, large=LargeClassifier(self.large, exact(LARGE)), clock=self.clock,
            view_latency=exact(SMALL), predictor_latency=exact(PREDICTOR),
        )  # fmt: skip
        for _ in range(2100):  # as it is after a minute without a late decision
            self.perceiver._planner.learn(late=False, could_be_shorter=True)

    def decide(self, gray: int) -> Decision:
        return self.perceiver.decide(Frame(np.full((4, 4, 3), gray, np.uint8), 7, self.clock.now))

    def decide_all(self, grays: Sequence[int]) -> list[Decision]:
        image = np.repeat(np.asarray(grays, np.uint8), 6)[None, :, None].repeat(6, 0).repeat(3, 2)
        boxes = [(6 * index, 0, 6 * index + 6, 6) for index in range(len(grays))]
        return self.perceiver.objects(Frame(image, 7, self.clock.now), boxes)


def exact(seconds: float) -> LatencyModel:
    model = LatencyModel({size: seconds * size for size in BATCH_SIZES})
    for _ in range(600):
        model.add(1, seconds)
    return model


def test_the_large_classifier_runs_where_the_small_one_is_unsure() -> None:
    device = Device("center+large@0.9")
    sure, unsure = device.decide(CERTAIN), device.decide(UNSURE)
    assert (sure.label, sure.views, sure.reason, sure.planned_views) == ("a", ("identity",), "early_exit", 2)
    assert (unsure.views, unsure.reason) == (("identity", "large:identity"), "policy")
    assert np.array_equal(device.large.images[0], np.full((4, 4, 3), UNSURE, np.uint8))
    assert len(device.large.images) == 1
    expected = (probabilities(np.array([1.5, 0, 0])) + probabilities(np.array([0, 1.5, 0]))) / 2
    assert unsure.probabilities == pytest.approx(expected, abs=1e-6)
    assert unsure.agreement == 0.5
    assert unsure.times.infer == pytest.approx(SMALL + LARGE)


@pytest.mark.parametrize(
    ("policy", "views", "losses"),
    [
        ("center+large", ("identity", "large:identity"), ()),
        ("hflip+large", ("identity", "hflip", "large:identity"), ()),
        ("top:1+large+logits@0.9", (LAST, f"large:{LAST}"), (1.0, 1.0)),
        ("top:1+flip+large@0.9", (LAST, f"{LAST}/hflip", f"large:{LAST}"), (1.0, 1.0, 1.0)),
    ],
)
def test_it_runs_the_most_promising_view(policy: str, views: tuple[str, ...], losses: tuple[float, ...]) -> None:
    decision = Device(policy).decide(UNSURE)
    assert decision.views == views
    assert decision.predicted_losses == losses
    assert decision.planned_views == len(views)


def test_it_counts_as_much_as_all_views_together() -> None:
    probability_a, probability_b, _ = Device("hflip+large").decide(UNSURE).probabilities
    assert probability_a == pytest.approx(probability_b)


@settings(deadline=None, max_examples=60)
@given(
    grays=st.lists(st.integers(0, 255), min_size=1, max_size=7),
    policy=st.sampled_from(("center+large@0.9", "hflip+large", "top:1+large@0.7", "top:2+flip+large+logits@0.8")),
)
@pytest.mark.slow
def test_batches_and_objects_are_decided_as_single_frames(grays: list[int], policy: str) -> None:
    alone = [Device(policy).decide(gray) for gray in grays]
    batch = Device(policy).perceiver.batch([np.full((4, 4, 3), gray, np.uint8) for gray in grays])
    objects = Device(policy).decide_all(grays)
    for one, others in zip(alone, zip(batch, objects, strict=True), strict=True):
        for other in others:
            assert (other.label, other.views, other.reason) == (one.label, one.views, one.reason)
            assert other.probabilities == pytest.approx(one.probabilities, abs=1e-6)
            assert other.planned_views == one.planned_views


@settings(deadline=None, max_examples=100)
@given(
    budget=st.floats(0.001, 0.04), gray=st.integers(0, 255),
    policy=st.sampled_from(("center+large", "center+large@0.9", "hflip+large", "top:1+large@0.9", "top:2+large")),
)  # fmt: skip
@pytest.mark.slow
def test_it_is_never_run_past_the_deadline(budget: float, gray: int, policy: str) -> None:
    device = Device(policy, budget)
    decision = device.decide(gray)
    assert not decision.late or decision.views == ("identity",)
    if "large:" not in "".join(decision.views) and decision.reason == "budget":
        assert decision.age + LARGE + 2 * SMALL + PREDICTOR > budget, "there was time for the large classifier"


@settings(deadline=None, max_examples=60)
@given(budget=st.floats(0.02, 0.2), grays=st.lists(st.integers(0, 255), min_size=1, max_size=7))
@pytest.mark.slow
def test_of_several_objects_the_most_uncertain_ones_get_the_large_classifier(budget: float, grays: list[int]) -> None:
    decisions = Device("center+large", budget).decide_all(grays)
    assert not any(decision.late for decision in decisions)
    with_large = [gray for gray, each in zip(grays, decisions, strict=True) if len(each.views) == 2]
    without = [gray for gray, each in zip(grays, decisions, strict=True) if len(each.views) == 1]
    assert not with_large or not without or max(with_large) <= min(without)
    assert all(each.reason == ("policy" if len(each.views) == 2 else "budget") for each in decisions)


def test_the_planner_learns_how_long_the_large_classifier_takes() -> None:
    device = Device("center+large", 0.020)
    assert len(device.decide(UNSURE).views) == 2
    device.large.seconds = 0.030
    decisions = [device.decide(UNSURE) for _ in range(20)]
    assert sum(decision.late for decision in decisions) <= 4
    assert decisions[-1].views == ("identity",)
    assert decisions[-1].reason == "budget"


def test_a_slow_period_that_it_was_left_out_in_is_forgotten() -> None:
    device = Device("center+large", 0.020)
    device.small.seconds, device.large.seconds = 5 * SMALL, 5 * LARGE
    assert [len(device.decide(UNSURE).views) for _ in range(20)][-1] == 1
    device.small.seconds, device.large.seconds = SMALL, LARGE
    assert [len(device.decide(UNSURE).views) for _ in range(20)][-1] == 2


@pytest.mark.parametrize(("count", "budget"), [(1, 0.030), (3, 0.060)])
def test_a_slow_period_is_forgotten_with_several_objects_too(count: int, budget: float) -> None:
    device = Device("center+large", budget)
    device.small.seconds, device.large.seconds = 5 * SMALL, 5 * LARGE
    assert [len(device.decide_all([UNSURE] * count)[0].views) for _ in range(20)][-1] == 1
    device.small.seconds, device.large.seconds = SMALL, LARGE
    assert [len(device.decide_all([UNSURE] * count)[0].views) for _ in range(20)][-1] == 2


def test_views_take_turns_on_it_as_well() -> None:
    device, smoother, views = Device("top:1+large"), Smoother(tuple("abc")), list[tuple[str, ...]]()
    whole_frame = device.decide(UNSURE)
    for index in range(5):
        frame = Frame(np.full((4, 4, 3), UNSURE, np.uint8), index, device.clock.now)
        (before,) = smoother.views_before(frame, [whole_frame])
        decision = device.perceiver.decide(frame, views_before=before)
        views.append(decision.views)
        smoother(frame, [decision])
    best = tuple(VIEWS)[:-5:-1]  # the four of the lowest predicted losses
    assert views == [(name, f"large:{name}") for name in (*best, best[0])]


def test_closing_closes_it() -> None:
    device = Device("center+large")
    device.perceiver.close()
    assert math.isnan(device.large.seconds)


@pytest.mark.parametrize(("text", "threshold"), [("center+large", 1.0), ("top:1+flip+large+logits@0.9", 0.9)])
def test_a_name_is_read(text: str, threshold: float) -> None:
    policy = parse_policy(text)
    assert (policy.name, policy.large, policy.early_exit_threshold) == (text, True, threshold)
    assert policy.planned_views == policy.max_views + 1


@pytest.mark.parametrize("text", ["large", "center+large+large", "+large", "center+LARGE", "set:large:identity"])
def test_a_wrong_name_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_policy(text)


def test_a_policy_without_its_large_classifier_is_refused(real_bundle: Bundle) -> None:
    with pytest.raises(UsageError, match=r"center\+large@0.9 needs a large classifier.*export --large"):
        load(real_bundle.path, policy="center+large@0.9")
    with pytest.raises(UsageError, match="needs a large classifier"):
        Perceiver(FakeEngine(3), tuple("abc"), InputSpec(4, 4), policy=parse_policy("center+large"))
    with pytest.raises(UsageError, match="needs a large classifier"):
        load(real_bundle.path, engine="fake").sharing(None, parse_policy("center+large"))


def test_a_manifest_with_such_a_policy_and_no_such_model_is_refused(real: Any, tmp_path: Path) -> None:
    manifest = real.manifest.model_copy(update={"policies": (parse_policy("center+large"),)})
    with pytest.raises(BundleError, match=r"a policy of a large classifier, and none in its models; export it again"):
        type(real)(manifest, real.contents).write(tmp_path / "bundle")


def test_a_bundle_runs_its_large_classifier_in_every_engine(real: Any, tmp_path: Path) -> None:
    large = tuple(model.model_copy(update={"role": "large"}) for model in real.manifest.models)
    update = {"models": (*real.manifest.models, *large), "policies": (parse_policy("center+large"),)}
    path = type(real)(real.manifest.model_copy(update=update), real.contents).write(tmp_path / "bundle")
    image = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    for engine in ("onnx", "openvino", "fake"):
        with load(path, engine=engine) as perceiver, load(path, engine=engine, policy="center") as single:
            decision = perceiver(image)
            assert decision.views == ("identity", "large:identity")
            assert decision.probabilities == pytest.approx(single(image).probabilities, abs=1e-6)  # the same network
    assert Bundle.open(path).has_large


def test_the_watchdog_gives_it_the_time_that_it_took_at_the_export(real: Any, tmp_path: Path) -> None:
    large = tuple(each.model_copy(update={"role": "large", "seconds": (1.5,)}) for each in real.manifest.models)
    update = {"models": (*real.manifest.models, *large), "policies": (parse_policy("center+large"),)}
    path = type(real)(real.manifest.model_copy(update=update), real.contents).write(tmp_path / "bundle")
    with load(path, engine="onnx") as perceiver:
        assert perceiver._large is not None
        engine = perceiver._large.engine._engine  # behind the one that checks its outputs
        assert isinstance(engine, WatchdogEngine)
        assert engine._call_seconds == pytest.approx(STALL_FACTOR * 1.5)


def test_a_precision_that_it_has_for_another_engine_alone_is_not_asked_for(real: Any, tmp_path: Path) -> None:
    onnx, _, openvino = real.manifest.models
    openvino = openvino.model_copy(update={"role": "large", "precision": "int8"})
    models = (*real.manifest.models, onnx.model_copy(update={"role": "large"}), openvino)
    update = {"models": models, "policies": (parse_policy("center+large"),)}
    path = type(real)(real.manifest.model_copy(update=update), real.contents).write(tmp_path / "bundle")
    with load(path, engine="onnx", precision="int8") as perceiver:
        assert perceiver(np.zeros((8, 8, 3), np.uint8)).views == ("identity", "large:identity")


def test_plans_with_less_time_leave_out_the_large_classifier_first() -> None:
    planner = Planner(parse_policy("hflip+large"), exact(SMALL), None, exact(LARGE))
    counts = [len(planner.plan(None, left, np.random.default_rng(0)).views) for left in (0.001, 0.003, 0.008, 0.05)]
    assert counts == [1, 1, 2, 3]
