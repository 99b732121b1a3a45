"""What the papers claim, and what came out here: the rows of docs/results/claims.md.

Where a run has a record, its figure is taken from it: "{STUDY/ROW/RESULT}" stands for the mean over the seeds with two
decimals. All other figures are those of the page that the row names, and a test looks for them there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from run_records import RunRecord
from studies import mean_and_deviation

from allweather.runtimes.errors import DataError

FIGURE = re.compile(r"\{([^/{}]+)/([^/{}]+)/([^/{}]+)\}")
HEADER = ("claim", "the paper's figure", "ours", "met or missed", "measured by")


@dataclass(frozen=True)
class Claim:
    """A claim of a paper, and the measurement here that is held against it.

    Attributes:
        text: The claim.
        theirs: The paper's figure, with what it was measured on.
        ours: Our figure, with what it was measured on; empty if it was not measured.
        outcome: "met", "missed", "not run", or one of them with its reason.
        command: The command that measures it; empty if the page has several, or none.
        page: Page of docs/results, with the heading, that has the figures.
        records: Records of its figures, as files of docs/results/records; none for figures of before the records.
        settings: Settings that the records have.
    """

    text: str
    theirs: str
    ours: str
    outcome: str
    command: str = ""
    page: str = ""
    records: Sequence[str] = ()
    settings: Mapping[str, object] = field(default_factory=dict)

    def with_figures(self, text: str, records: Sequence[RunRecord]) -> str:
        """Returns a text of this claim with the figures of the records put in.

        Raises:
            DataError: There is no such record, or it has no such result.
        """

        def of_records(found: re.Match[str]) -> str:
            study, row, result = found.groups()
            values = [
                each.results[result]
                for each in records
                if (each.study, each.row) == (study, row)
                and result in each.results
                and all(each.settings.get(name) == value for name, value in self.settings.items())
            ]
            if not values:
                raise DataError(f"no record has {result} of {row} in {study}, for the claim {self.text!r}")
            return mean_and_deviation(values)

        return FIGURE.sub(of_records, text)


@dataclass(frozen=True)
class ClaimTable:
    """The claims of one paper.

    Attributes:
        name: Name of the table on the page.
        claims: Its rows.
    """

    name: str
    claims: Sequence[Claim]

    def lines(self, records: Sequence[RunRecord]) -> list[str]:
        """Returns the lines of the table, and below it the commands by their numbers, each with its records.

        Args:
            records: All records.

        Raises:
            DataError: A record is missing.
        """
        numbers = {text: number for number, text in enumerate(self._commands(), 1)}
        rows = [f"| {' | '.join(HEADER)} |", "|---|---|---|---|---|"]
        for each in self.claims:
            shown = each.page.partition("#")[0].removesuffix(".md").replace("-", " ")
            where = f"[{shown}]({each.page})" if each.page else ""
            if each.command:
                where += f" ({numbers[each.command]})"
            ours, outcome = (each.with_figures(text, records) for text in (each.ours, each.outcome))
            rows.append(f"| {' | '.join((each.text, each.theirs, ours or '-', outcome, where))} |")
        rows.append("")
        for command, files in self._commands().items():
            stored = "".join(f", `docs/results/records/{name}`" for name in files)
            rows.append(f"{numbers[command]}. `{command}`{stored}")
        return rows

    def _commands(self) -> dict[str, list[str]]:
        """Returns the commands, each with the records that it has left."""
        found: dict[str, list[str]] = {}
        for each in self.claims:
            if each.command:
                files = found.setdefault(each.command, [])
                files += [name for name in each.records if name not in files]
        return found
