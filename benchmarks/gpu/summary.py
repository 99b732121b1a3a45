"""The summary of all runs: every finished record, how each part ended, and a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from allweather.runtimes.errors import UsageError
from gpu.records import Work, read_json


def summary(work: Work, ended: Mapping[str, str], minutes: float) -> dict[str, Any]:
    """Returns all records in the folder, by name, and how each part of this call ended."""
    records = {path.stem: record for path in sorted(work.folder.glob("*.json")) if (record := _record_at(path))}
    return {"minutes": minutes, "parts": dict(ended), "runs": records}


def _record_at(path: Path) -> dict[str, Any] | None:
    """Returns the record in a file; None for plans, an earlier summary and files of other origin."""
    try:
        values = read_json(path) or {}
    except UsageError:
        return None
    return values if values.get("name") == path.stem and {"schedule", "results"} <= set(values) else None


def summary_rows(result: Mapping[str, Any]) -> list[Sequence[str]]:
    """Returns the rows of a table: each run with its schedule and its figures; then the parts that did not finish."""
    rows: list[Sequence[str]] = [("run", "schedule", "result")]
    for name, record in result["runs"].items():
        rows.append((name, _schedule_text(record["schedule"]), record["results"].get("text", _text(record["results"]))))
    rows += [(name, "", how) for name, how in result["parts"].items() if how != "finished"]
    return rows


def _schedule_text(schedule: Mapping[str, Any]) -> str:
    parts = [
        f"{schedule[key]} {key.replace('_', ' ')}" for key in ("epochs", "train_images", "steps") if key in schedule
    ]
    return ", ".join([*parts, f"batch {schedule['batch_size']}"]) + (" (cut)" if schedule.get("cut") else " (full)")


def _text(results: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value:.4g}" for key, value in results.items() if isinstance(value, float | int))
