"""What `allweather run` prints at its end: how many frames were decided on, how fast, and with which labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from allweather.cli.console import print_result, to_json

if TYPE_CHECKING:
    from allweather.runtimes.camera_health.states import CameraHealth
    from allweather.runtimes.loop.stats import LoopReport
    from allweather.site.run_site import SiteReport

MAX_SHOWN_LABELS = 8


def print_reports(site: SiteReport, as_json: bool) -> None:
    """Prints the statistics of each source: as tables, or all of them as one JSON object."""
    facts = [
        {
            "source": name,
            "frames": report.frames,
            "decided": report.decided,
            "late": report.late,
            "engine": perceiver.engine_name,
            "precision": perceiver.precision,
            "policy": perceiver.policy.name,
            **({"report": to_json(report)} if as_json else _in_words(report)),
        }
        for name, perceiver, report in zip(site.names, site.perceivers, site.reports, strict=True)
    ]
    labels: dict[str, int] = {}
    for report in site.reports:
        for label, count in report.labels.items():
            labels[label] = labels.get(label, 0) + count
    if as_json:
        print_result(
            {"sources": facts, "labels": labels} if len(facts) > 1 else {**facts[0], "labels": labels}, True, "run"
        )
        return
    for each, report in zip(facts, site.reports, strict=True):
        common = list(report.labels.items())[:MAX_SHOWN_LABELS]
        values = {**each, "labels": ", ".join(f"{label} {count}" for label, count in common)}
        print_result({key: value for key, value in values.items() if value != ""}, False, "run")


def _in_words(report: LoopReport) -> dict[str, Any]:
    times, ages = report.decision_time, report.frame_age
    if not times or not ages:
        return {}
    lost = report.drops.source
    causes = [f"{cause} {count}" for cause, count in vars(report.drops).items() if count and cause != "source"]
    return {
        "dropped": ", ".join(causes) or "none",
        "camera health": _health_in_words(report.health),
        "camera lost": f"{lost} time{'s' if lost > 1 else ''}" if lost else "",
        "views per frame": report.mean_views,
        "number of views set by": ", ".join(f"{reason} {count}" for reason, count in report.reasons.items()),
        "decisions of large classifier": report.large_runs or "",
        "decisions per second": report.decisions_per_second,
        "decision p50 / p90 / p99 ms": " / ".join(f"{1000 * t:.2f}" for t in (times.p50, times.p90, times.p99)),
        "frame age p50 / p90 / p99 ms": " / ".join(f"{1000 * t:.2f}" for t in (ages.p50, ages.p90, ages.p99)),
    }


def _health_in_words(health: CameraHealth | None) -> str:
    return f"{health.state} ({', '.join(health.reasons)})" if health and health.reasons else ""
