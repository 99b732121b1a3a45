"""What every report says of how to read it, and of the run that made it."""

from __future__ import annotations

import math
import subprocess
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from allweather import __version__
from allweather.cli.command_line import keep_arguments, origin_of
from allweather.evaluation import evaluate, evaluate_augmented, evaluate_corrupted, evaluate_policies, evaluate_shifted
from allweather.reports import reading
from allweather.reports.augmented import write_augmented_report
from allweather.reports.clean import write_clean_report
from allweather.reports.corrupted import corruptions_measured, write_corrupted_report
from allweather.reports.policies import write_policy_report
from allweather.reports.reading import Origin, chance, wilson_interval
from allweather.reports.shifted import write_shifted_report
from allweather.runtimes.redaction import HIDDEN
from allweather.trainers.augmentations.photometric import AUGMENTATIONS
from allweather.trainers.corruptions import COMMON, CORRUPTIONS, EXTRA

ORIGIN = Origin("9.8.7", "0123456789ab", "allweather evaluate model --data 'folder:a b'", 13)


@pytest.mark.slow
def test_each_report_says_how_to_read_it_and_what_made_it(plain: Path, folder: Path, tmp_path: Path) -> None:
    data = f"folder:{folder}"
    strengths = {name: each.paper for name, each in AUGMENTATIONS.items()}
    examples = {"clean": [np.zeros((8, 8, 3), np.uint8)]}
    write_clean_report(evaluate(plain, data), tmp_path / "clean", ORIGIN)
    corrupted = evaluate_corrupted(plain, data)
    no_mistakes = corrupted.__class__(**{**vars(corrupted), "mistakes": ()})
    write_corrupted_report([no_mistakes], [{}], tmp_path / "corrupted", ORIGIN)
    write_policy_report(evaluate_policies(plain, data, "hflip"), [], tmp_path / "policies", ORIGIN)
    write_shifted_report([evaluate_shifted(plain, data)], [None], tmp_path / "shifted", ORIGIN)
    write_augmented_report([evaluate_augmented(plain, data, strengths)], examples, tmp_path / "augmented", ORIGIN)
    pages = sorted(tmp_path.rglob("report.html"))
    assert len(pages) == 5
    for path in pages:
        texts = [path.read_text("utf-8"), *(each.read_text("utf-8") for each in path.parent.glob("report.md"))]
        for text in texts:
            for words in ("How to read this", "95 %", "9.8.7", "0123456789ab", "allweather evaluate model", "13"):
                assert words in text, path
        assert "<script" not in texts[0]
    assert "All of the common 15 and all of the extra 4" in (tmp_path / "corrupted/report.md").read_text()


def test_missing_corruptions_are_named() -> None:
    assert corruptions_measured(tuple(CORRUPTIONS), 7).startswith("All of the common 15 and all of the extra 4,")
    text = corruptions_measured([name for name in COMMON if name not in ("fog", "snow")], 20)
    assert text == (
        "13 of the common 15 (snow, fog missing) and none of the extra 4, at five severities, 20 images in each cell."
    )
    assert f"({', '.join(EXTRA[1:])} missing)" in corruptions_measured(EXTRA[:1], 20)


@pytest.mark.parametrize(
    ("arguments", "shown", "hidden"),
    [
        (["a.aw", "--source", "rtsp://me:secret@cam/x?token=secret"], ["rtsp://", "cam/x", HIDDEN], "secret"),
        (["a.aw", "--data=webdataset:https://me:secret@host/x.tar"], ["host/x.tar"], "secret"),
        (
            ["a.aw", "--policy", "top:2+flip@0.95", "--policy=top:1+large@0.7"],
            ["top:2+flip@0.95", "top:1+large@0.7"],
            HIDDEN,
        ),
        (["my model", "--data", "folder:my images"], ["'my model' --data 'folder:my images'"], HIDDEN),
    ],
)
def test_the_command_line_is_shown_without_passwords(arguments: list[str], shown: list[str], hidden: str) -> None:
    context = SimpleNamespace(info_name="bench", meta={})
    keep_arguments(context, arguments)
    origin = origin_of(context, 3)
    assert (origin.version, origin.seed) == (__version__, 3)
    assert origin.command.startswith("allweather bench ")
    assert all(part in origin.command for part in shown)
    assert hidden not in origin.command


@pytest.mark.parametrize(
    ("files", "commit"),
    [
        ({}, ""),
        ({"HEAD": "0123456789abcdef0123\n"}, "0123456789ab"),
        ({"HEAD": "ref: refs/heads/main\n", "refs/heads/main": "fedcba9876543210\n"}, "fedcba987654"),
        (
            {"HEAD": "ref: refs/heads/main\n", "packed-refs": "# a\n00aa11bb22cc33dd refs/heads/main\n"},
            "00aa11bb22cc",
        ),
        ({"HEAD": "ref: refs/heads/main\n", "packed-refs": "00aa11bb22cc33dd refs/heads/other\n"}, ""),
        ({"HEAD": "ref: refs/heads/main\n"}, ""),
    ],
)
def test_the_commit_is_read_without_another_program(
    files: dict[str, str], commit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subprocess, "Popen", lambda *words, **options: pytest.fail("a program was started"))
    for name, text in files.items():
        path = tmp_path / ".git" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert reading.checked_out_commit(tmp_path) == commit


def test_what_is_not_known_is_left_out() -> None:
    assert Origin("1.0", "").items() == [("allweather", "1.0")]
    assert ("seed", "0") in Origin("1.0", "", seed=0).items()


@given(st.integers(1, 10_000).flatmap(lambda images: st.tuples(st.integers(0, images), st.just(images))))
def test_the_wilson_interval_is_where_a_normal_test_would_not_reject(case: tuple[int, int]) -> None:
    correct, images = case
    share = correct / images
    low, high = wilson_interval(correct, images)
    assert 0 <= low <= share <= high <= 1
    for end in (low, high):
        if 0 < end < 1:
            assert abs(share - end) == pytest.approx(1.959964 * math.sqrt(end * (1 - end) / images), rel=1e-4, abs=1e-9)


def test_the_wilson_interval_of_a_known_case() -> None:
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)  # Newcombe 1998, table I
    assert "up to 9.6 points" in chance(100)
