"""Arguments of the Python API that are of another type, or out of range, are told in one line."""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from allweather.runtimes.bundle.bundle import Bundle
from allweather.runtimes.cameras.open import open_camera
from allweather.runtimes.connect import connect
from allweather.runtimes.engines.fake import FakeEngine
from allweather.runtimes.errors import UsageError
from allweather.runtimes.load import budget_from_ms, load
from allweather.runtimes.perceiver import Perceiver
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.types import Budget, Frame

DARK = np.zeros((12, 16, 3), np.uint8)


@pytest.mark.parametrize("path", [None, 5, b"x.aw", ["x.aw"]])
@pytest.mark.parametrize("function", [load, Bundle.open, lambda path: connect(path, "http://127.0.0.1:9")])
def test_a_bundle_is_named_by_its_path(function: Callable[[Any], object], path: object) -> None:
    with pytest.raises(UsageError, match=f"a bundle is named by its path.*got {type(path).__name__}"):
        function(path)


@pytest.mark.parametrize("name", [[], None, 5, b"manifest.json"])
def test_a_file_of_a_bundle_is_named_by_text(name: Any, sample_bundle: Path) -> None:
    with pytest.raises(UsageError, match=f"named by text.*got {type(name).__name__}"):
        Bundle.open(sample_bundle).read(name)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"threads": "2"}, r"threads is a whole number.*got '2'"),
        ({"threads": 2.0}, "threads is a whole number.*got 2.0"),
        ({"threads": True}, "threads is a whole number.*got True"),
        ({"threads": math.nan}, "threads is a whole number.*got nan"),
        ({"threads": 2**70}, "threads is a whole number from 1 to 2147483647"),
        ({"threads": 0}, "threads is at least 1; got 0"),
        ({"budget_ms": True}, "a budget is above 0 milliseconds; got True"),
        ({"engine": 5}, "an engine is named by a text.*got int"),
        ({"engine": ["onnx"]}, "an engine is named by a text.*got list"),
        ({"precision": 5}, "no precision is called '5'.*fp32"),
        ({"precision": "FP32"}, "no precision is called 'FP32'.*fp32"),
    ],
)
def test_load_tells_a_wrong_argument(arguments: dict[str, Any], said: str, sample_bundle: Path) -> None:
    with pytest.raises(UsageError, match=said):
        load(sample_bundle, **arguments)


def test_threads_may_be_a_number_of_numpy(sample_bundle: Path) -> None:
    load(sample_bundle, engine="onnx", policy="center", threads=np.int64(1)).close()  # type: ignore[arg-type]


@pytest.mark.parametrize("seconds", ["5", [1], 0, -1, math.nan, math.inf, True])
def test_a_wait_is_a_number_above_0(seconds: Any) -> None:
    with pytest.raises(UsageError, match="wait for a frame is a number of seconds above 0"):
        open_camera(0, wait_seconds=seconds)


def test_the_address_of_a_server_is_text(sample_bundle: Path) -> None:
    with pytest.raises(UsageError, match=r"a server's address is a text.*got int"):
        connect(sample_bundle, 5)  # type: ignore[arg-type]


@pytest.mark.parametrize("seconds", [0, -1, math.nan, "5", None, 1j, True])
def test_a_budget_is_above_0(seconds: Any) -> None:
    with pytest.raises(UsageError, match="a budget is a number of seconds above 0"):
        Budget(seconds)


@pytest.mark.parametrize("reserve", [-1, 1, 2, math.nan, "0", False])
def test_a_reserve_is_within_the_budget(reserve: Any) -> None:
    with pytest.raises(UsageError, match="from 0 to below the budget, 1 s"):
        Budget(1, reserve)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("a", "b"), "whole numbers of pixels; got 'b' x 'a'"),
        ((24.5, 24), "whole numbers of pixels; got 24 x 24.5"),
        ((True, 24), "whole numbers of pixels; got 24 x True"),
        ((24, 24, (False, 0, 0)), "three numbers each"),
        ((24, 24, 5, 5), "three numbers each"),
        ((24, 24, (math.nan,) * 3), "three numbers each"),
        ((24, 24, (0, 0, 0), ("1", "1", "1")), "three numbers each"),
        ((24, 24, (0, 0, 0), (0, 1, 1)), "std > 0"),
    ],
)
def test_an_input_is_checked(arguments: tuple[Any, ...], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        InputSpec(*arguments)


def test_a_budget_beyond_all_floats_is_no_deadline() -> None:
    assert budget_from_ms(10**400) == budget_from_ms(None)


def test_frames_and_decisions_are_compared_by_identity() -> None:
    perceiver = Perceiver(FakeEngine(2), ("dark", "bright"), InputSpec(8, 8))
    frame = Frame(np.zeros((8, 8, 3), np.uint8), 0, 0.0)
    decision = perceiver.decide(frame)
    assert decision == decision
    assert decision != replace(decision, probabilities=decision.probabilities.copy())
    assert frame != Frame(frame.image.copy(), 0, 0.0)
    assert len({decision, frame}) == 2


def test_a_batch_of_one_array_is_told_from_several_images() -> None:
    perceiver = Perceiver(FakeEngine(2), ("dark", "light"), InputSpec(8, 8))
    assert [each.label for each in perceiver.batch(np.stack([DARK, DARK + 255]))] == ["dark", "light"]
    with pytest.raises(
        UsageError, match=r"several images, such as a list of them; got one array, .*perceiver\(image\)"
    ):
        perceiver.batch(DARK)


@pytest.mark.parametrize(
    ("wrong", "cure"),
    [
        ("dark.png", r"got str: allweather.read_image\(path\) reads a file"),
        (Path("dark.png"), "reads a file"),
        ([DARK, DARK], r"got list: one image at a time, or perceiver.batch\(images\)"),
        (DARK[None], r"this is a batch: one image at a time, or perceiver.batch\(images\)"),
    ],
)
def test_what_is_no_image_is_told_with_its_cure(wrong: Any, cure: str) -> None:
    perceiver = Perceiver(FakeEngine(2), ("dark", "light"), InputSpec(8, 8))
    with pytest.raises(UsageError, match=cure):
        perceiver(wrong)


@pytest.mark.parametrize("copy_of", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_perceiver_stays_in_its_process(copy_of: Callable[[Any], Any]) -> None:
    perceiver = Perceiver(FakeEngine(2), ("dark", "light"), InputSpec(8, 8))
    with pytest.raises(
        UsageError, match=r"a Perceiver cannot be pickled or copied.* call allweather.load in each process"
    ):
        copy_of(perceiver)
