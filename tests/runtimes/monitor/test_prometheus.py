"""The metrics, read by the parser of prometheus_client."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
from previews import LOCALHOST, decision, get, preview
from prometheus_client.parser import text_string_to_metric_families

from allweather.runtimes.camera_health import CameraHealth, HealthReason, HealthState
from allweather.runtimes.monitor.prometheus import LoopCollector, metrics_text
from allweather.runtimes.monitor.server import MonitorServer


def test_the_metrics_are_served_and_can_be_parsed() -> None:
    with MonitorServer([preview(5)], LOCALHOST) as server:
        status, body = get(server, "/metrics")
    assert status == 200
    families = text_string_to_metric_families(body.decode())
    samples = {sample.name: sample for family in families for sample in family.samples}
    assert samples["allweather_decisions_total"].value == 5
    assert samples["allweather_decisions_total"].labels == {"camera": "iterator"}
    assert samples["allweather_late_decisions_total"].value == 0
    assert samples["allweather_views_run_total"].value == 10
    assert samples["allweather_large_classifier_runs_total"].value == 0
    assert samples["allweather_decision_reasons_total"].labels == {"camera": "iterator", "reason": "budget"}
    assert samples["allweather_decision_reasons_total"].value == 5
    assert samples["allweather_decision_seconds_count"].value == 5
    assert samples["allweather_decision_seconds_sum"].value == pytest.approx(5 * 0.013)
    assert samples["allweather_frame_age_seconds_sum"].value == pytest.approx(5 * 0.02)
    assert samples["allweather_camera_up"].value == 1


def test_labels_and_confidences_are_counted() -> None:
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(metrics_text([preview(4)]).decode())
        for sample in family.samples
    }
    assert {key[1:]: value for key, value in samples.items() if key[0] == "allweather_labels_total"} == {
        ("iterator", "<b>stop</b>"): 4
    }
    assert samples["allweather_confidence_count", "iterator"] == 4
    counts = [value for key, value in samples.items() if key[0] == "allweather_confidence_bucket"]
    assert counts == sorted(counts)
    assert counts[-1] == 4
    assert len(counts) == 10


def test_labels_that_are_shown_alike_are_one_series() -> None:
    camera = preview()
    for label in ("a\u200bb", "a\u00adb", "a\u00adb"):
        camera.stats.add_decisions((replace(decision(), label=label),))
    lines = [line for line in metrics_text([camera]).decode().splitlines() if 'label="a?b"' in line]
    assert lines == ['allweather_labels_total{camera="iterator",label="a?b"} 3.0']


def test_drops_are_labelled_by_cause() -> None:
    (family,) = (each for each in text_string_to_metric_families(metrics_text([preview()]).decode())
                 if each.name == "allweather_drops")  # fmt: skip
    assert {sample.labels["cause"] for sample in family.samples if sample.name.endswith("_total")} == {
        "decode", "superseded", "late", "engine", "detector", "source",
    }  # fmt: skip


def test_the_health_of_a_camera_is_one_of_three_states_with_its_reasons() -> None:
    assert 'allweather_camera_health{camera="iterator"' not in metrics_text([preview()]).decode()
    sick = preview(1)
    sick.stats.set_health(CameraHealth("degraded", ("dark", "noisy")))
    text = metrics_text([sick]).decode()
    states = {
        state: f'allweather_camera_health{{camera="iterator",state="{state}"}}' for state in get_args(HealthState)
    }
    assert [state for state, name in states.items() if f"{name} 1.0" in text] == ["degraded"]
    assert [state for state, name in states.items() if f"{name} 0.0" in text] == ["clear", "blind"]
    for reason in get_args(HealthReason):
        name = f'allweather_camera_health_reason{{camera="iterator",reason="{reason}"}}'
        assert f"{name} {float(reason in ('dark', 'noisy'))}" in text


def test_the_same_source_twice_has_two_labels() -> None:
    text = metrics_text([preview(1), preview(2)]).decode()
    assert 'allweather_decisions_total{camera="iterator #0"} 1.0' in text
    assert 'allweather_decisions_total{camera="iterator #1"} 2.0' in text


def test_the_guide_lists_each_metric_as_it_is() -> None:
    guide = (Path(__file__).parents[3] / "docs" / "how-to" / "run-cameras.md").read_text()
    seen = preview(1)
    seen.stats.set_health(CameraHealth("clear"))
    described = []
    for family in LoopCollector([seen]).collect():
        name = f"{family.name}_total" if family.type == "counter" else family.name
        further = [f"`{label}`" for label in family.samples[0].labels if label not in ("camera", "le")]
        described.append(f"| `{name}` | {family.type} | {', '.join(further)} | {family.documentation} |")
    listed = [line for line in guide.splitlines() if line.startswith("| `allweather_")]
    assert listed == described
