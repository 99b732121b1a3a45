"""The tables and sentences of the report say what was measured, and what may be chance."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest
import yaml

from allweather.create.comparison import GROUPS, Example, SystemResult
from allweather.create.config import CreateConfig
from allweather.create.create import _caption
from allweather.create.plots import family_bars, reliability_curves
from allweather.create.report import TITLES, _changes, _yaml_to_share, distinct_systems, summary_table
from allweather.evaluation.error_rate import ErrorRate
from allweather.trainers.corruptions import COMMON, EXTRA

PLAIN = SystemResult(
    name="plain",
    backend="openvino int8",
    policy="center",
    errors={group: ErrorRate(0.2, 0.15, 0.25) for group in GROUPS},
    by_severity=dict.fromkeys((*COMMON, *EXTRA), (0.1, 0.15, 0.2, 0.25, 0.3)),
    calibration_error=0.05,
    reliability=((0, 0.0, 0.0), (19, 0.2, 0.1), (50, 0.5, 0.6), (900, 0.97, 0.95)),
    views=(1.0, 1.0),
    milliseconds=(0.5, 0.9),
)


def after(value: float, low: float, high: float, policy: str = "top:2") -> SystemResult:
    errors = {group: ErrorRate(0.2 + value, 0.1, 0.3) for group in GROUPS}
    return dataclasses.replace(
        PLAIN, name="plain + TTA", policy=policy, errors=errors, change=ErrorRate(value, low, high)
    )


def test_groups_are_those_of_the_benchmark() -> None:
    families = [
        name for group, members in GROUPS.items() if group not in ("clean", "common", "extra") for name in members
    ]
    assert sorted(families) == sorted(GROUPS["common"])
    assert (len(GROUPS["common"]), len(GROUPS["extra"])) == (15, 4)


def test_the_table_has_a_column_for_each_system() -> None:
    rows = summary_table([PLAIN, after(-0.05, -0.07, -0.03)])
    assert rows[0] == ("", "plain", "plain + TTA")
    assert ("common 15: error, %", "20.0 (15.0 to 25.0)", "15.0 (10.0 to 30.0)") in rows
    assert {len(row) for row in rows} == {3}
    few = dataclasses.replace(PLAIN, errors={"clean": ErrorRate(0, 0, 0), "weather": ErrorRate(0.1, 0, 0.2)})
    assert [row[0] for row in summary_table([few])][1:3] == ["clean: error, %", "weather: error, %"]


@pytest.mark.parametrize(
    ("system", "sentence"),
    [
        (
            after(-0.05, -0.07, -0.03),
            "is 5.0 points lower than that of plain (a change of -7.0 to -3.0 points, paired, at 95 %).",
        ),
        (
            after(0.02, 0.01, 0.03),
            "is 2.0 points higher than that of plain (a change of +1.0 to +3.0 points, paired, at 95 %).",
        ),
        (after(-0.01, -0.03, 0.01), "(a change of -3.0 to +1.0 points, paired, at 95 %); this may be chance."),
        (
            dataclasses.replace(PLAIN, name="plain + TTA"),
            "plain + TTA is the same as plain, and not shown: no policy was better",
        ),
        (
            dataclasses.replace(PLAIN, name="robust", change=ErrorRate(0, 0, 0)),
            "robust is 0.0 points higher than that of plain (a change of +0.0 to +0.0 points, paired, at 95 %)",
        ),
    ],
)
def test_what_may_be_chance_is_said(system: SystemResult, sentence: str) -> None:
    (said,) = _changes([PLAIN, system])
    assert sentence in said


def test_a_system_that_is_the_same_as_the_one_before_is_not_shown_twice() -> None:
    robust = dataclasses.replace(PLAIN, name="robust", policy="center")
    alike = dataclasses.replace(robust, name="robust + TTA")
    better = after(-0.05, -0.07, -0.03)
    assert distinct_systems([PLAIN, robust, alike]) == [PLAIN, robust], "robust has the policy of plain, too"
    assert distinct_systems([PLAIN, better]) == [PLAIN, better]
    assert distinct_systems([PLAIN]) == [PLAIN]


def test_the_pictures_name_the_systems_of_the_tables() -> None:
    names = ("plain", "robust", "robust + TTA")
    example = Example("fog", 3, 0, "can", dict(zip(names, ("box", "can", "can"), strict=True)))
    systems = distinct_systems([dataclasses.replace(PLAIN, name=name) for name in names])
    assert _caption(example, systems) == "fog\ntrue: can\nplain: box\nrobust: can"


@pytest.mark.slow
def test_plots_are_images() -> None:
    systems = [PLAIN, after(-0.05, -0.07, -0.03), dataclasses.replace(PLAIN, reliability=((0, 0.0, 0.0),))]
    for content in (family_bars(systems, TITLES), reliability_curves(systems), family_bars([PLAIN], TITLES)):
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
        assert image is not None
        assert image.std() > 5


@pytest.mark.parametrize(
    ("data", "written"),
    [
        (
            "webdataset:https://user:secret@host/{0..3}.tar?token=secret",
            "webdataset:https://***@host/{0..3}.tar?token=***",
        ),
        ("webdataset:https://host/{0..3}.tar", "webdataset:https://host/{0..3}.tar"),
        ("folder:secret", "folder:secret"),
    ],
)
def test_the_settings_that_are_passed_on_hold_no_password(data: str, written: str) -> None:
    text = _yaml_to_share(CreateConfig(data=data))
    assert yaml.safe_load(text)["data"] == written
    assert text.startswith("#") == ("***" in written)
