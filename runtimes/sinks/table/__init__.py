"""Decisions as a table: CSV, which grows line by line, or Parquet, which is complete at its end."""

from allweather.runtimes.sinks.table.columns import COLUMNS, Column
from allweather.runtimes.sinks.table.sink import TableSink

__all__ = ["COLUMNS", "Column", "TableSink"]
