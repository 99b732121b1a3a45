"""The report of classifiers measured on a corrupted set: one page, one JSON file, one Markdown file, pictures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from allweather.evaluation.metrics import calibration_error
from allweather.evaluation.robustness import Mean, Robustness
from allweather.reports import plots as pictures
from allweather.reports.html import Section, markdown, page, write
from allweather.runtimes.types import Image
from allweather.trainers.corruptions import COMMON, EXTRA

Row = Sequence[str]
POOLED = "Over the answers to all corrupted pictures together; in the table above, the mean over the cells."


def write_robustness(results: Sequence[Robustness], seen: Sequence[Mapping[str, Image]], folder: Path) -> None:
    """Writes report.html, report.md, result.json, errors.png, and reliability and mistakes of each target.

    Args:
        results: one a target, all on the same corrupted set.
        seen: for each of them the picture of each of its mistakes.
        folder: to write into.

    Raises:
        OutputError: the place cannot be written to.
    """
    names = [name for name in (*COMMON, *EXTRA) if name in results[0].errors()]
    titles = [result.provenance.title for result in results]
    summary, errors = summary_table(results), error_table(results, names)
    sections = [
        Section("Result", "; ".join(results[0].provenance.notes), summary),
        Section("Error by corruption and severity, %", picture="errors.png"),
        Section("Error by corruption, mean over five severities, %", table=errors),
    ]
    files: dict[str, bytes | str] = {
        "errors.png": pictures.error_map([result.by_severity() for result in results], titles, (COMMON, EXTRA)),
        "result.json": json.dumps({"results": [asdict(result) for result in results]}, indent=1),
    }
    for number, (result, images) in enumerate(zip(results, seen, strict=True), 1):
        reliability, mistakes = f"reliability-{number}.png", f"mistakes-{number}.png"
        files[reliability] = pictures.reliability(result.reliability, calibration_error(result.reliability))
        sections.append(
            Section(f"{titles[number - 1]}: as sure as it is right, when corrupted?", POOLED, picture=reliability)
        )
        if result.mistakes:
            captions = [
                f"{each.corruption} {each.severity}\n{each.label} taken for\n{each.answered} ({each.confidence:.0%})"
                for each in result.mistakes
            ]
            files[mistakes] = pictures.gallery([images[each.corruption] for each in result.mistakes], captions)
            text = "The surest wrong answer to each corruption."
            sections.append(Section(f"{titles[number - 1]}: worst frames", text, picture=mistakes))
    heading = f"Robustness on {results[0].provenance.data}"
    lead = f"{results[0].provenance.images} pictures a cell, {results[0].corrupted}; {results[0].provenance.machine}"
    files["report.html"] = page(heading, lead, sections)
    notes = [f"- {note}" for note in results[0].provenance.notes]
    picture = "![Error by corruption and severity](errors.png)\n"
    lines = [f"# {heading}", "", lead, "", *notes, "", *markdown(summary), "", *markdown(errors), "", picture]
    files["report.md"] = "\n".join(lines)
    write(folder, files)


def summary_table(results: Sequence[Robustness]) -> list[Row]:
    """One column a target: the means, with 95 % bootstrap intervals."""
    rows: list[Row] = [("", *(result.provenance.title for result in results))]
    rows.append(("clean error, %", *(_interval(each.clean.error, each.clean.low, each.clean.high) for each in results)))
    for label, means in (
        ("common 15", [each.common for each in results]),
        ("extra 4", [each.extra for each in results]),
    ):
        for measure, cells in _measures(means).items():
            rows.append((f"{label}: {measure}", *cells))
    if results[0].baseline is not None:
        shown = ["not all 15" if each.mce is None else f"{each.mce:.2f}" for each in results]
        rows.append((f"mCE, baseline {Path(results[0].baseline).name}", *shown))
    rows.append(("clean calibration error, %", *(f"{100 * each.clean.calibration_error:.2f}" for each in results)))
    return rows


def _measures(means: Sequence[Mean | None]) -> dict[str, list[str]]:
    there = [mean for mean in means if mean is not None]
    if len(there) < len(means):
        return {}
    lacking = f", {len(there[0].missing)} missing" if there[0].missing else ""
    return {
        f"error, %{lacking}": [_interval(mean.error, mean.low, mean.high) for mean in there],
        "calibration error, %": [f"{100 * mean.calibration_error:.2f}" for mean in there],
        "Brier score, 0 to 2": [f"{mean.brier:.4f}" for mean in there],
        "log loss, nats": [f"{mean.nll:.4f}" for mean in there],
    }


def error_table(results: Sequence[Robustness], names: Sequence[str]) -> list[Row]:
    """One row a corruption, one column a target."""
    columns = [result.errors() for result in results]
    head = ("corruption", *(result.provenance.title for result in results))
    return [head, *((name, *(f"{100 * column[name]:.2f}" for column in columns)) for name in names)]


def _interval(value: float, low: float, high: float) -> str:
    return f"{100 * value:.2f} ({100 * low:.2f} to {100 * high:.2f})"
