"""The report of a target measured with several policies: one page, one JSON file, one Markdown file, pictures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from allweather.evaluation.policies import Error, PolicyEvaluation, PolicyResult
from allweather.reports import plots as pictures
from allweather.reports.html import Section, markdown, page, write
from allweather.runtimes.types import Image
from allweather.trainers.corruptions import COMMON, EXTRA

Row = Sequence[str]


def write_policies(result: PolicyEvaluation, turned: Sequence[Image], folder: Path) -> None:
    """Writes report.html, report.md, result.json and pictures.

    Args:
        result: of one target.
        turned: the frames that turned.
        folder: to write into.

    Raises:
        OutputError: the place cannot be written to.
    """
    summary, errors = summary_table(result), error_table(result)
    origin = result.provenance
    lead = f"{origin.backend}; {origin.images} images in each cell, {result.corrupted}; {origin.machine}"
    sections = [Section("Result", "; ".join([*result.provenance.notes, *correlations(result)]), summary)]
    files: dict[str, bytes | str] = {"result.json": json.dumps(asdict(result), indent=1)}
    for score in result.scores:
        if score.policy.startswith(("top", "oracle")):
            name = f"looks-{score.policy.translate(str.maketrans(':+@', '---'))}.png"
            files[name] = pictures.looks(score.looks, score.views, score.policy)
            sections.append(Section(f"Where {score.policy} looks first", picture=name))
    if turned:
        captions = [
            f"{each.corruption} {each.severity}\n{each.label}: now {'right' if each.better else 'wrong'}\n{each.view}"
            for each in result.turned
        ]
        files["turned.png"] = pictures.gallery(list(turned), captions)
        text = "One look was wrong and it is right now, or the reverse; below, the view that was chosen."
        sections.append(Section(f"Frames that {result.turned[0].policy} turned", text, picture="turned.png"))
    if len(errors) > 1:
        sections.append(Section("Error by corruption, mean over five severities, %", table=errors))
    heading = f"Policies of {Path(result.provenance.model).name} on {result.provenance.data}"
    files["report.html"] = page(heading, lead, sections)
    notes = [f"- {note}" for note in (*result.provenance.notes, *correlations(result))]
    lines = [f"# {heading}", "", lead, "", *notes, "", *markdown(summary), "", *markdown(errors), ""]
    files["report.md"] = "\n".join(lines)
    write(folder, files)


def summary_table(result: PolicyEvaluation) -> list[Row]:
    """One row a policy."""
    rows: list[Row] = [
        ("policy", "runs", "cost", "clean error, %", "common 15, %", "extra 4, %", "of the oracle's gain, %")
    ]
    for score in result.scores:
        runs = _range([score.runs["clean"], score.runs["common"]])
        cost = _range([score.cost, score.corrupted_cost])
        captured = "" if score.captured is None else f"{100 * score.captured:.1f}"
        rows.append((score.policy, runs, cost, *map(_shown, _errors(score)), captured))
    return rows


def _range(values: Sequence[float | None]) -> str:
    """On clean and on corrupted pictures; one number where they come to the same."""
    shown = [f"{value:.2f}" for value in values if value is not None]
    return " / ".join(dict.fromkeys(shown))


def correlations(result: PolicyEvaluation) -> list[str]:
    """Mean rank correlations of predicted and true losses, in words; none without a predictor."""
    known = [f"{name} {value:.3f}" for name, value in result.correlation.items() if value is not None]
    return [f"rank correlation of predicted and true losses: {', '.join(known)}"] if known else []


def error_table(result: PolicyEvaluation) -> list[Row]:
    """One row a corruption, one column a policy."""
    names = [name for name in (*COMMON, *EXTRA) if name in result.scores[0].errors]
    head = ("corruption", *(score.policy for score in result.scores))
    return [head, *((name, *(f"{100 * score.errors[name]:.2f}" for score in result.scores)) for name in names)]


def _errors(score: PolicyResult) -> tuple[Error | None, ...]:
    return score.clean, score.common, score.extra


def _shown(error: Error | None) -> str:
    return "" if error is None else f"{100 * error.value:.2f} ({100 * error.low:.2f} to {100 * error.high:.2f})"
