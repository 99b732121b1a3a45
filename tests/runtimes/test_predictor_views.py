"""The views that a bundle lists are the columns of its loss predictor, whatever other views allweather has."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allweather.runtimes.bundle.bundle import Bundle, write_bundle
from allweather.runtimes.bundle.manifest import Input
from allweather.runtimes.errors import BundleError, UsageError
from allweather.runtimes.load import load
from allweather.runtimes.perceiver import Perceiver
from allweather.runtimes.tta import policy_names as policies
from allweather.runtimes.tta import views
from allweather.runtimes.tta.policy import Policy
from allweather.runtimes.tta.policy_names import parse_policy
from allweather.runtimes.tta.views import VIEWS, View, register_view, unregister_view
from allweather.runtimes.types import Decision, Image

NEGATIVE = View("negative", lambda image: np.asarray(255 - image, np.uint8))
THREE = ("zoom1.2", "hflip", "autocontrast")  # not in the order of VIEWS, without the identity, and a classic view


@contextmanager
def registered(view: View) -> Iterator[None]:
    register_view(view)
    try:
        yield
    finally:
        unregister_view(view.name)


@contextmanager
def built_in(view: View) -> Iterator[None]:
    """An allweather that has the view among its own, before the others."""
    thirteen = MappingProxyType({view.name: view, **VIEWS})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(views, "VIEWS", thirteen)
        patch.setattr(policies, "VIEWS", thirteen)
        yield


def write(real: Any, path: Path, names: tuple[str, ...], tuned: tuple[Policy, ...] = ()) -> Path:
    """Writes a bundle with a loss predictor for some views, which the fake engine can run."""
    predictor = Input(height=4, width=4, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    manifest = real.manifest.model_copy(update={"views": names, "predictor": predictor, "policies": tuned})
    write_bundle(path, manifest, real.contents)
    return path


@pytest.fixture
def twelve(real: Any, tmp_path: Path) -> Path:
    return write(real, tmp_path / "twelve.aw", tuple(VIEWS))


@pytest.fixture
def three(real: Any, tmp_path: Path) -> Path:
    tuned = parse_policy("top:1+flip", predictor_views=THREE)
    return write(real, tmp_path / "three.aw", THREE, (tuned,))


def best(image: Image, names: tuple[str, ...], count: int) -> tuple[str, ...]:
    """Returns the views that the fake predictor prefers: it gives the view at the image's brightness a high loss."""
    losses = np.zeros(len(names))
    losses[int(image.mean() / 256 * len(names))] = 4
    return tuple(names[index] for index in losses.argsort(kind="stable")[:count])


def facts(decision: Decision) -> tuple[object, ...]:
    return decision.label, decision.probabilities.tolist(), decision.views, decision.predicted_losses


def gray(value: int) -> Image:
    return np.full((8, 8, 3), value, np.uint8)


@pytest.mark.parametrize("with_13th_view", [registered, built_in])
@pytest.mark.parametrize("policy", ["top:2", "top:1+flip", "top:12"])
def test_a_13th_view_changes_no_decision_of_an_existing_bundle(twelve: Path, policy: str, with_13th_view: Any) -> None:
    images = [gray(value) for value in range(0, 256, 15)]
    with load(twelve, engine="fake", policy=policy) as perceiver:
        before = [facts(perceiver(image)) for image in images]
    with with_13th_view(NEGATIVE), load(twelve, engine="fake", policy=policy) as perceiver:
        assert perceiver.policy.views == tuple(VIEWS)
        assert [facts(perceiver(image)) for image in images] == before
        assert [facts(decision) for decision in perceiver.batch(images)] == before


@pytest.mark.parametrize("with_13th_view", [registered, built_in])
@pytest.mark.slow
def test_a_13th_view_changes_no_decision_of_the_sample_bundle(sample_bundle: Path, with_13th_view: Any) -> None:
    frames = Bundle.open(sample_bundle).golden_frames()

    def decide(policy: str | None) -> list[tuple[object, ...]]:
        with load(sample_bundle, engine="onnx", precision="fp32", policy=policy) as perceiver:
            return [facts(perceiver(frame)) for frame in frames]

    before = [decide(policy) for policy in (None, "top:2")]
    assert len({views for _, _, views, _ in before[1]}) > 1  # it does choose
    with with_13th_view(NEGATIVE):
        assert [decide(policy) for policy in (None, "top:2")] == before


@settings(deadline=None, max_examples=30)
@given(value=st.integers(0, 255), count=st.integers(1, 3))
@pytest.mark.slow
def test_top_chooses_among_the_three_views_of_a_bundle(real: Any, fresh: Any, value: int, count: int) -> None:
    with (
        fresh() as folder,
        load(write(real, folder / "b.aw", THREE), engine="fake", policy=f"top:{count}") as perceiver,
    ):
        decision = perceiver(gray(value))
        assert decision.views == best(gray(value), THREE, count)
        assert decision.predicted_losses == (0.0,) * len(decision.predicted_losses) or count == 3
        assert perceiver.batch([gray(value)])[0].views == decision.views


def test_a_bundle_of_three_views_follows_its_own_policy(three: Path) -> None:
    with load(three, engine="fake") as perceiver:
        assert perceiver.policy.name == "top:1+flip"
        (chosen,) = best(gray(10), THREE, 1)
        assert perceiver(gray(10)).views == (chosen, f"{chosen}/hflip")
    with pytest.raises(UsageError, match="number of views is 1 to 3; got 4"):
        load(three, engine="fake", policy="top:4")


def test_without_time_to_rank_the_image_itself_is_run_though_it_is_no_view_of_the_predictor(three: Path) -> None:
    with load(three, engine="fake", policy="top:2", budget_ms=1e-6) as perceiver:
        decision = perceiver(gray(10))
    assert (decision.views, decision.predicted_losses, decision.reason) == (("identity",), (), "past_deadline")


def test_a_bundle_may_list_a_registered_view(real: Any, tmp_path: Path) -> None:
    names = ("negative", "identity")
    bundle = write(real, tmp_path / "b.aw", names)
    with registered(NEGATIVE), load(bundle, engine="fake", policy="top:1") as perceiver:
        assert perceiver(gray(255)).views == ("negative",)
        assert perceiver(gray(255)).label == real.manifest.classes[0]  # the negative of white is black
    with pytest.raises(
        BundleError, match=r"b\.aw: its loss predictor is for the view 'negative'.*register_view"
    ) as caught:
        load(bundle, engine="fake", policy="top:1")
    assert str(caught.value).isprintable()
    with load(bundle, engine="fake", policy="center") as perceiver:  # it needs no predictor
        assert perceiver(gray(255)).views == ("identity",)


def test_a_stored_policy_with_an_unknown_view_is_refused_in_one_line(real: Any, tmp_path: Path) -> None:
    with registered(NEGATIVE):
        bundle = write(real, tmp_path / "b.aw", tuple(VIEWS), (parse_policy("set:identity,negative"),))
    with pytest.raises(
        BundleError, match=r"a policy that this version of allweather cannot run: no view is called 'negative'"
    ) as caught:
        load(bundle, engine="fake")
    assert str(caught.value).isprintable()
    assert "register" in str(caught.value)


def test_a_bundle_that_contradicts_itself_is_refused(real: Any, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="names a view twice"):
        write(real, tmp_path / "b.aw", ("identity", "hflip", "identity"))
    with pytest.raises(BundleError, match=r"policy top:2 ranks other views"):
        write(real, tmp_path / "b.aw", THREE, (parse_policy("top:2"),))


def test_a_policy_object_is_followed_if_it_ranks_the_views_of_the_predictor(three: Path) -> None:
    with load(three, engine="fake", policy=Policy("mine", "top", THREE, 2, hflip=True)) as perceiver:
        assert len(perceiver(gray(10)).views) == 4
    with load(three, engine="fake", policy=Policy("mine", "all", ("identity", "hflip"), 2)) as perceiver:
        assert perceiver(gray(10)).views == ("identity", "hflip")
    with pytest.raises(UsageError, match="policy mine ranks other views"):
        load(three, engine="fake", policy=Policy("mine", "top", tuple(VIEWS), 2))


def test_a_perceiver_made_by_hand_says_that_policy_and_predictor_differ(three: Path) -> None:
    with load(three, engine="fake") as perceiver:
        other = Perceiver(
            perceiver._engine, perceiver.classes, perceiver.spec, policy=parse_policy("top:2"),
            loss_predictor=perceiver._loss_predictor,
        )  # fmt: skip
        with pytest.raises(UsageError, match=r"policy top:2 ranks 12 views, and got losses of shape \[1, 3\]"):
            other(gray(10))
