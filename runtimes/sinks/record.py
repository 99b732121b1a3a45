"""Decisions and events as JSON values, as logs, messages and the monitor page have them."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from allweather.runtimes.sinks.event import Event
from allweather.runtimes.text import json_line as one_line_of_json
from allweather.runtimes.types import Decision


def json_line(decision: Decision, time: float, *, source: str = "", file: str = "") -> str:
    """Returns the decision as one line of JSON with its line end.

    Args:
        decision: The decision.
        time: Its time in seconds since 1970.
        source: Name of the source of the frame; left out if empty.
        file: Name of the image file; left out if empty.
    """
    names = {name: text for name, text in (("source", source), ("file", file)) if text}
    record = {"time": round(time, 3), **names, **decision_record(decision)}
    return one_line_of_json(record) + "\n"


def event_line(event: Event, time: float) -> str:
    """Returns an event as one line of JSON with its line end.

    Args:
        event: The event.
        time: Its time in seconds since 1970.
    """
    record = {
        "time": round(time, 3),
        "event": event.kind,
        "source": event.source,
        "state": event.state,
        "reason": event.reason,
    }
    return one_line_of_json(record) + "\n"


def decision_record(decision: Decision) -> dict[str, Any]:
    """Returns the decision as JSON values, without the probabilities; None replaces nan and infinity."""
    return {
        "index": int(decision.index),
        "label": decision.label,
        "confidence": finite_or_none(decision.confidence),
        "accepted": decision.accepted,
        "unknown": decision.unknown,
        "agreement": finite_or_none(decision.agreement),
        "views": list(decision.views),
        "predicted_losses": [finite_or_none(loss) for loss in decision.predicted_losses],
        "age": finite_or_none(decision.age),
        "late": bool(decision.late),
        "skipped": int(decision.skipped),
        "planned_views": int(decision.planned_views),
        "time_left": finite_or_none(decision.time_left),
        "expected_seconds": finite_or_none(decision.expected_seconds),
        "reason": decision.reason,
        **_object_record(decision),
        **_smoothing_record(decision),
        "times": {stage: finite_or_none(seconds) for stage, seconds in asdict(decision.times).items()},
    }


def _object_record(decision: Decision) -> dict[str, Any]:
    """Returns which object of its frame a decision is about; nothing if it is about the whole frame."""
    region = decision.region
    values = {
        "region": None if region is None else [int(region.x), int(region.y), int(region.width), int(region.height)],
        "name": decision.name or None,
        "track": None if decision.track is None else int(decision.track),
    }
    return {name: value for name, value in values.items() if value is not None}


def _smoothing_record(decision: Decision) -> dict[str, Any]:
    """Returns what temporal smoothing made of a decision; nothing if it was not smoothed."""
    if decision.stable is None:
        return {}
    return {
        "frames": int(decision.frames),
        "stable": bool(decision.stable),
        "frame_label": decision.frame_label,
        "frame_confidence": finite_or_none(decision.frame_confidence),
    }


def finite_or_none(value: float) -> float | None:
    """Returns a Python float, also for a NumPy scalar; None for nan and infinity, which JSON does not have."""
    return float(value) if math.isfinite(value) else None
