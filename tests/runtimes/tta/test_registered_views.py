"""Views of other packages: registered by name, then usable in policies like the built-in ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from allweather.runtimes.engines.fake import FakeEngine
from allweather.runtimes.errors import UsageError
from allweather.runtimes.perceiver import Perceiver
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.tta import views
from allweather.runtimes.tta.policy_names import parse_policy
from allweather.runtimes.tta.views import CLASSIC_VIEWS, VIEWS, View, register_view, unregister_view, view
from allweather.runtimes.types import Image


def negative(image: Image) -> Image:
    return np.asarray(255 - image, np.uint8)


@pytest.fixture(autouse=True)
def _registry_is_restored() -> Iterator[None]:
    yield
    for name in list(views._registered):
        unregister_view(name)


def test_a_registered_view_runs_by_its_name_alone_and_in_a_chain() -> None:
    image = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    with pytest.raises(UsageError, match="no view is called 'negative'"):
        parse_policy("set:identity,negative")
    register_view(View("negative", negative))
    assert np.array_equal(view("negative").apply(image), 255 - image)
    assert np.array_equal(view("negative/hflip").apply(image), 255 - image[:, ::-1])
    dark_and_bright = Perceiver(
        FakeEngine(2), ("dark", "bright"), InputSpec(8, 8), policy=parse_policy("set:identity,negative")
    )
    decision = dark_and_bright(np.zeros((8, 8, 3), np.uint8))
    assert decision.views == ("identity", "negative")
    assert decision.confidence == pytest.approx(0.5)


def test_the_built_in_policies_and_predictors_do_not_change() -> None:
    texts = ("all", "random:12", "top:12", "oracle:1", "10crop")
    before = [parse_policy(text) for text in texts]
    register_view(View("negative", negative))
    assert [parse_policy(text) for text in texts] == before


def test_a_view_that_is_removed_is_unknown_again() -> None:
    register_view(View("negative", negative))
    view("negative/hflip")
    unregister_view("negative")
    for name in ("negative", "negative/hflip"):
        with pytest.raises(UsageError, match="no view is called 'negative'"):
            view(name)
    with pytest.raises(UsageError, match="no registered view is called 'negative'"):
        unregister_view("negative")
    with pytest.raises(UsageError, match="no registered view is called 'identity'"):
        unregister_view("identity")


@given(st.from_regex(r"[A-Za-z0-9.+-]{1,64}", fullmatch=True).filter(lambda name: name not in {*VIEWS, *CLASSIC_VIEWS}))
@pytest.mark.slow
def test_any_valid_name_can_be_registered_and_written_in_a_policy(name: str) -> None:
    register_view(View(name, negative))
    try:
        assert parse_policy(f"set:identity,{name}:3@0.9").views == ("identity", name)
    finally:
        unregister_view(name)


@pytest.mark.parametrize("name", ["", "a/b", "a,b", "a:b", "a@b", "a b", "a\n", "é", "a" * 65, None, 7])
def test_a_malformed_name_is_refused(name: Any) -> None:
    with pytest.raises(UsageError, match=r"the name of a view has 1 to 64 letters .* got") as caught:
        register_view(View(name, negative))
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", ["identity", "hflip", "zoom1.2", "negative"])
def test_a_name_that_is_taken_is_refused(name: str) -> None:
    register_view(View("negative", negative))
    with pytest.raises(UsageError, match=f"there is a view called '{name}' already; choose another name"):
        register_view(View(name, negative))


@pytest.mark.parametrize("wrong", [None, "negative", negative, View("negative", None)])  # type: ignore[arg-type]
def test_only_a_view_with_a_function_can_be_registered(wrong: Any) -> None:
    with pytest.raises(UsageError, match="register_view takes a View with a name and a function; got"):
        register_view(wrong)


def test_the_number_of_registered_views_is_bounded() -> None:
    for index in range(views.MAX_REGISTERED_VIEWS):
        register_view(View(f"negative{index}", negative))
    with pytest.raises(UsageError, match="at most 64 views can be registered"):
        register_view(View("negative", negative))


@pytest.mark.parametrize(
    ("result", "came"),
    [
        (lambda image: image[:4], r"got uint8 \[4, 8, 3\]"), (lambda image: image / 2, r"got float64 \[8, 8, 3\]"),
        (lambda image: None, "got NoneType"), (lambda image: image[..., 0], r"got uint8 \[8, 8\]"),
        (lambda image: image.tolist(), "got list"),
    ],
)  # fmt: skip
def test_a_view_that_returns_something_else_is_named(result: Any, came: str) -> None:
    register_view(View("mine", result))
    perceiver = Perceiver(FakeEngine(2), ("dark", "bright"), InputSpec(8, 8), policy=parse_policy("set:identity,mine"))
    image = np.zeros((8, 8, 3), np.uint8)
    for decide in (perceiver, lambda image: perceiver.batch([image, image])):
        with pytest.raises(UsageError, match=r"the view mine must return an image .* uint8 \[8, 8, 3\]; " + came):
            decide(image)
