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

from allweather.runtimes.monitor.preview import BOUNDS, Channel


class LoopCollector:
    """What Prometheus sees of some cameras.

    Args:
        channels: one a camera.
    """

    def __init__(self, channels: Sequence[Channel]) -> None:
        self._channels = channels

    def collect(self) -> Iterator[Metric]:
        """The metrics as they are now."""
        decisions = CounterMetricFamily("allweather_decisions", "Frames decided on.", labels=["camera"])
        late = CounterMetricFamily("allweather_late_decisions", "Decisions after their deadline.", labels=["camera"])
        drops = CounterMetricFamily("allweather_drops", "Frames not decided on, by cause.", labels=["camera", "cause"])
        looks = CounterMetricFamily("allweather_looks", "Views run.", labels=["camera"])
        up = GaugeMetricFamily("allweather_camera_up", "Whether frames come.", labels=["camera"])
        times = HistogramMetricFamily("allweather_decision_seconds", "Time a decision took.", labels=["camera"])
        ages = HistogramMetricFamily(
            "allweather_frame_age_seconds", "Age of a frame when it was decided on.", labels=["camera"]
        )
        names = [channel.camera.name for channel in self._channels]
        for number, channel in enumerate(self._channels):
            name, report = names[number], channel.tally.report()
            if names.count(name) > 1:  # the same source twice: labels have to differ
                name = f"{name} #{number}"
            decisions.add_metric([name], report.decided)
            late.add_metric([name], report.late)
            looks.add_metric([name], sum(count * frames for count, frames in report.looks))
            for cause, count in vars(report.drops).items():
                drops.add_metric([name, cause], count)
            up.add_metric([name], channel.camera.state.phase == "live")
            for family, counts, spread in zip(
                (times, ages), channel.tally.at_most(BOUNDS), (report.decision_time, report.frame_age), strict=True
            ):
                total = spread.count if spread else 0
                buckets = [(f"{bound:.6g}", float(count)) for bound, count in zip(BOUNDS, counts, strict=True)]
                family.add_metric([name], [*buckets, ("+Inf", total)], spread.mean * total if spread else 0.0)
        yield from (decisions, late, drops, looks, up, times, ages)


def metrics_text(channels: Sequence[Channel]) -> bytes:
    """The metrics of some cameras in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(LoopCollector(channels))
    return generate_latest(registry)
