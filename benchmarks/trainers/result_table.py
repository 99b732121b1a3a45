"""`ResultTable`: how the records of a study become a table, a row for each method."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from run_records import RunRecord
from studies import mean_and_deviation

from allweather.runtimes.errors import DataError
from allweather.runtimes.markdown import markdown_table


@dataclass(frozen=True)
class ResultTable:
    """How the table of a study is made.

    Attributes:
        name: Name of the table on its page.
        study: Study of the records.
        title: What the figures are; it stands above the names of the rows.
        columns: Title of each column, and the name of the result that it shows.
        rows: Rows in their order; one without a record is left out.
        settings: Settings that records of this table have, by name; others of the same study belong to other tables.
        facts: Settings that have a column of their own, and "seed".
        paper: What the paper reports for a row, if it has such a row.
    """

    name: str
    study: str
    title: str
    columns: Mapping[str, str]
    rows: Sequence[str]
    settings: Mapping[str, object]
    facts: Sequence[str]
    paper: Mapping[str, str]

    def lines(self, records: Sequence[RunRecord]) -> list[str]:
        """Returns the table and, below it, how its runs can be repeated.

        Args:
            records: All records.

        Raises:
            DataError: There is no record for any row.
        """
        ours = [each for each in records if each.study == self.study and self._belongs(each)]
        if not ours:
            raise DataError(f"there is no record of the study {self.study} for the table {self.name}")
        header = [self.title, *self.facts, *self.columns, *(["paper"] if self.paper else [])]
        table: list[Sequence[str]] = [header]
        for row in self.rows:
            runs = sorted((each for each in ours if each.row == row), key=lambda each: each.seed)
            if not runs:
                continue
            of_column = ([run.results[key] for run in runs if key in run.results] for key in self.columns.values())
            figures = [mean_and_deviation(values) if values else "" for values in of_column]
            facts = [_joined(run.seed if name == "seed" else run.settings[name] for run in runs) for name in self.facts]
            table.append([row, *facts, *figures, *([self.paper.get(row, "")] if self.paper else [])])
        return [*markdown_table(table), "", provenance(ours)]

    def _belongs(self, record: RunRecord) -> bool:
        return all(record.settings.get(name) == value for name, value in self.settings.items())


def provenance(records: Sequence[RunRecord]) -> str:
    """Returns the line that says at which commits and on which machines the figures of a table were measured."""
    commits, machines = _joined(each.commit for each in records), _joined(each.machine for each in records)
    return f"Commit {commits}; torch {_joined(each.torch for each in records)}; {machines}."


def _joined(values: Iterable[object]) -> str:
    """Returns different values in their order, separated by commas."""
    return ", ".join(dict.fromkeys(str(value) for value in values))
