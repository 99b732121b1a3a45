"""Makes the tables of the result pages of the records of finished runs, beside what the papers report.

    python benchmarks/trainers/result_tables.py [--check]

A page of docs/results has each table between two comments, "table NAME" and "end of NAME"; what is between them is
replaced. The records are the files of docs/results/records, one a run, as the studies write them beside their
checkpoints. The tables of docs/results/claims.md also have figures of pages that are older than the records. With
--check nothing is written, and the exit code is 1 if a page differs from its records.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from claims_finetuned import FINETUNED_CLAIMS
from claims_training import TRAINING_CLAIMS
from model_tables import MODEL_TABLES
from run_records import load_record
from studies import errors_in_one_line
from training_tables import TRAINING_TABLES
from view_tables import VIEW_TABLES

from allweather.runtimes.errors import DataError
from allweather.runtimes.system.atomic_files import atomic_file

TABLES = (*TRAINING_TABLES, *VIEW_TABLES, *FINETUNED_CLAIMS, *TRAINING_CLAIMS, *MODEL_TABLES)
PAGES = Path(__file__).resolve().parents[2] / "docs" / "results"


def main() -> int:
    """Writes the tables into their pages, or compares them; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a page differs")
    args = parser.parse_args()
    pages = updated_pages(PAGES)
    stale = {page: text for page, text in pages.items() if page.read_text(encoding="utf-8") != text}
    for page, text in stale.items():
        print(f"{page} {'differs from' if args.check else 'has new tables of'} its records")
        if not args.check:
            with atomic_file(page) as temporary:
                temporary.write_text(text, encoding="utf-8")
    return int(args.check and bool(stale))


def updated_pages(folder: Path) -> dict[Path, str]:
    """Returns the text of each page that has tables, with its tables made anew.

    Raises:
        DataError: A page has a table that is not known, or a record belongs to no table.
    """
    records = [record for path in sorted((folder / "records").rglob("*.json")) if (record := load_record(path))]
    tables = {table.name: table for table in TABLES}
    pages = {}
    for page in sorted(folder.glob("*.md")):
        text = page.read_text(encoding="utf-8")
        names = re.findall(r"^<!-- table (\S+) -->$", text, re.MULTILINE)
        for name in names:
            if name not in tables:
                raise DataError(f"{page} has a table {name!r}; there are {', '.join(tables)}")
            text = _replaced(text, name, tables.pop(name).lines(records))
        if names:
            pages[page] = text
    if tables:
        raise DataError(f"no page of {folder} has the table {', '.join(tables)}")
    return pages


def _replaced(text: str, name: str, lines: Sequence[str]) -> str:
    first, last = f"<!-- table {name} -->", f"<!-- end of {name} -->"
    before, _, rest = text.partition(f"{first}\n")
    _, found, after = rest.partition(last)
    if not found:
        raise DataError(f"the table {name} has no end: write {last} below it")
    return "\n".join([before + first, *lines, last + after])


if __name__ == "__main__":
    with errors_in_one_line():
        sys.exit(main())
