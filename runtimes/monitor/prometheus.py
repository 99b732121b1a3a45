"""The statistics of the loops as Prometheus metrics. They are computed only when Prometheus requests them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import get_args

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from allweather.runtimes.camera_health.states import HealthReason, HealthState
from allweather.runtimes.loop.stats import CONFIDENCE_BINS
from allweather.runtimes.monitor.preview import HISTOGRAM_BOUNDS, LivePreview
from allweather.runtimes.text import printable

BUCKET_NAMES = tuple(f"{bound:.6g}" for bound in HISTOGRAM_BOUNDS)  # seconds


class LoopCollector:
    """A collector, as prometheus_client calls it, for the loops of some cameras.

    Args:
        previews: One per camera.
    """

    def __init__(self, previews: Sequence[LivePreview]) -> None:
        self._previews = previews

    def collect(self) -> Iterator[Metric]:
        """Yields the metrics with their present values. prometheus_client adds "_total" to the names of counters."""
        decisions = CounterMetricFamily("allweather_decisions", "Number of frames decided on.", labels=["camera"])
        late = CounterMetricFamily(
            "allweather_late_decisions", "Number of frames with a decision after its deadline.", labels=["camera"]
        )
        drops = CounterMetricFamily(
            "allweather_drops",
            "Number of frames not decided on, by cause; for the cause 'source', how often the camera was lost.",
            labels=["camera", "cause"],
        )
        views_run = CounterMetricFamily("allweather_views_run", "Number of views run.", labels=["camera"])
        large_runs = CounterMetricFamily(
            "allweather_large_classifier_runs",
            "Number of decisions for which the large classifier ran.",
            labels=["camera"],
        )
        decision_reasons = CounterMetricFamily(
            "allweather_decision_reasons",
            "Number of decisions by what set the number of their views.",
            labels=["camera", "reason"],
        )
        up = GaugeMetricFamily("allweather_camera_up", "1 while frames come, else 0.", labels=["camera"])
        states = GaugeMetricFamily(
            "allweather_camera_health", "1 for the state that the camera is in, else 0.", labels=["camera", "state"]
        )
        reasons = GaugeMetricFamily(
            "allweather_camera_health_reason",
            "1 for each reason why the camera does not see well, else 0.",
            labels=["camera", "reason"],
        )
        times = HistogramMetricFamily(
            "allweather_decision_seconds", "Time that the decisions on a frame took.", labels=["camera"]
        )
        ages = HistogramMetricFamily(
            "allweather_frame_age_seconds",
            "Age of a frame when it was decided on, from its capture.",
            labels=["camera"],
        )
        labels = CounterMetricFamily(
            "allweather_labels",
            "Number of decisions for each label, of all regions of the frames.",
            labels=["camera", "label"],
        )
        confidences = HistogramMetricFamily(
            "allweather_confidence", "Confidence of the decisions, 0 to 1.", labels=["camera"]
        )
        cameras = _distinct([printable(preview.camera.name) for preview in self._previews])
        for index, preview in enumerate(self._previews):
            camera, report = cameras[index], preview.stats.report()
            decisions.add_metric([camera], report.decided)
            late.add_metric([camera], report.late)
            views_run.add_metric([camera], report.views_run)
            large_runs.add_metric([camera], report.large_runs)
            for decision_reason, count in report.reasons.items():
                decision_reasons.add_metric([camera, decision_reason], count)
            for cause, count in vars(report.drops).items():
                drops.add_metric([camera, cause], count)
            up.add_metric([camera], preview.camera.state.phase == "live")
            shown: Counter[str] = Counter()  # names that differ in unprintable characters alone are one series
            for label, count in report.labels.items():
                shown[printable(label)] += count
            for label, count in shown.items():
                labels.add_metric([camera, label], count)
            cumulative = list(accumulate(report.confidences))
            bounds = [f"{(each + 1) / CONFIDENCE_BINS:g}" for each in range(CONFIDENCE_BINS - 1)]
            buckets = [*zip(bounds, map(float, cumulative), strict=False), ("+Inf", float(cumulative[-1]))]
            total = report.mean_confidence * cumulative[-1] if cumulative[-1] else 0.0
            confidences.add_metric([camera], buckets, total)
            if report.health:
                for state in get_args(HealthState):
                    states.add_metric([camera, state], state == report.health.state)
                for reason in get_args(HealthReason):
                    reasons.add_metric([camera, reason], reason in report.health.reasons)
            histograms = preview.stats.cumulative_counts(HISTOGRAM_BOUNDS)
            summaries = (report.decision_time, report.frame_age)
            for family, counts, summary in zip((times, ages), histograms, summaries, strict=True):
                total = summary.count if summary else 0
                buckets = [(name, float(count)) for name, count in zip(BUCKET_NAMES, counts, strict=True)]
                family.add_metric([camera], [*buckets, ("+Inf", total)], summary.mean * total if summary else 0.0)
        yield from (decisions, late, drops, views_run, large_runs, decision_reasons)
        yield from (up, states, reasons, times, ages, labels, confidences)


def _distinct(names: Sequence[str]) -> list[str]:
    """Returns the names with a number where one occurs twice, as labels must differ; a source may be used twice."""
    numbered = [f"{name} #{index}" if names.count(name) > 1 else name for index, name in enumerate(names)]
    return numbered if len(set(numbered)) == len(names) else [f"{name} #{index}" for index, name in enumerate(names)]


def metrics_text(previews: Sequence[LivePreview]) -> bytes:
    """Returns the metrics of some cameras in the text format of Prometheus."""
    registry = CollectorRegistry()
    registry.register(LoopCollector(previews))
    return generate_latest(registry)
