"""The columns of a table of decisions, the same as CSV and as Parquet."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal, TypeAlias

from allweather.runtimes.sinks.record import decision_record
from allweather.runtimes.text import printable
from allweather.runtimes.types import Decision, StageTimes

Kind = Literal["time", "text", "int", "float", "bool", "texts", "floats"]
Row: TypeAlias = tuple[Any, ...]
"""A value or None for each of `COLUMNS`."""


@dataclass(frozen=True)
class Column:
    """A column. Lists are JSON's and Parquet's; in CSV their values have blanks between them."""

    name: str
    kind: Kind


COLUMNS = (
    Column("time", "time"),
    Column("source", "text"),
    Column("file", "text"),
    Column("index", "int"),
    Column("name", "text"),
    Column("track", "int"),
    *(Column(f"region_{name}", "int") for name in ("x", "y", "width", "height")),
    Column("label", "text"),
    Column("confidence", "float"),
    Column("accepted", "bool"),
    Column("unknown", "bool"),
    Column("agreement", "float"),
    Column("frames", "int"),
    Column("stable", "bool"),
    Column("frame_label", "text"),
    Column("frame_confidence", "float"),
    Column("reason", "text"),
    Column("late", "bool"),
    Column("age", "float"),
    Column("skipped", "int"),
    Column("views", "texts"),
    Column("predicted_losses", "floats"),
    Column("planned_views", "int"),
    Column("time_left", "float"),
    Column("expected_seconds", "float"),
    *(Column(f"{field.name}_seconds", "float") for field in fields(StageTimes)),
)


def table_row(decision: Decision, time: float, *, source: str, file: str) -> Row:
    """Returns the values of one decision; text is on one line, and nan and infinity are None.

    Args:
        decision: The decision.
        time: Its time in seconds since 1970.
        source: Name of the source of the frame.
        file: Name of the image file; empty for none.
    """
    record = decision_record(decision)
    region = record.pop("region", None) or (None,) * 4
    values = {
        **record,
        "time": round(time, 3),
        "source": source or None,
        "file": file or None,
        **dict(zip((f"region_{name}" for name in ("x", "y", "width", "height")), region, strict=True)),
        **{f"{stage}_seconds": seconds for stage, seconds in record["times"].items()},
    }
    return tuple(_clean(values.get(column.name)) for column in COLUMNS)


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return printable(value)
    return [_clean(each) for each in value] if isinstance(value, list) else value
