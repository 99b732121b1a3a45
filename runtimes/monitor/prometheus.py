"""The account of the loops in the words of Prometheus; read when asked for, so a frame costs nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from allweather.runtimes.monitor.preview import BOUNDS, LivePreview


class LoopCollector:
    """What Prometheus sees of some cameras.

    Args:
        channels: one a camera.
    """

    def __init__(self, previews: Sequence[LivePreview]) -> None:
        self._channels = previews

    def collect(self) -> Iterator[Metric]:
        """The metrics as they are now."""
        decisions = CounterMetricFamily("allweather_decisions", "Frames decided on.", labels=["camera"])
        late = CounterMetricFamily("allweather_late_decisions", "Decisions after their deadline.", labels=["camera"])
        drops = CounterMetricFamily("allweather_drops", "Frames not decided on, by cause.", labels=["camera", "cause"])
        views_run = CounterMetricFamily("allweather_looks", "Views run.", labels=["camera"])
        up = GaugeMetricFamily("allweather_camera_up", "Whether frames come.", labels=["camera"])
        times = HistogramMetricFamily("allweather_decision_seconds", "Time a decision took.", labels=["camera"])
        ages = HistogramMetricFamily(
            "allweather_frame_age_seconds", "Age of a frame when it was decided on.", labels=["camera"]
        )
        names = [preview.camera.name for preview in self._channels]
        for number, preview in enumerate(self._channels):
            name, report = names[number], preview.stats.report()
            if names.count(name) > 1:  # the same source twice: labels have to differ
                name = f"{name} #{number}"
            decisions.add_metric([name], report.decided)
            late.add_metric([name], report.late)
            views_run.add_metric([name], sum(count * frames for count, frames in report.views_run))
            for cause, count in vars(report.drops).items():
                drops.add_metric([name, cause], count)
            up.add_metric([name], preview.camera.state.phase == "live")
            for family, counts, summary in zip(
                (times, ages), preview.stats.at_most(BOUNDS), (report.decision_time, report.frame_age), strict=True
            ):
                total = summary.count if summary else 0
                buckets = [(f"{bound:.6g}", float(count)) for bound, count in zip(BOUNDS, counts, strict=True)]
                family.add_metric([name], [*buckets, ("+Inf", total)], summary.mean * total if summary else 0.0)
        yield from (decisions, late, drops, views_run, up, times, ages)


def metrics_text(previews: Sequence[LivePreview]) -> bytes:
    """The metrics of some cameras in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(LoopCollector(previews))
    return generate_latest(registry)
