"""Report pages: one HTML file with its pictures beside it, readable without a network."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from allweather.evaluation.clean import Evaluation
from allweather.reports import plots as pictures
from allweather.runtimes.system.atomic_files import atomic_file

STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.55 system-ui, sans-serif; color: #1e293b; background: #f8fafc; margin: 0; }
main { max-width: 60rem; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
h1 { font-size: 1.9rem; margin: 0 0 .3rem; } h2 { font-size: 1.2rem; margin: 2.4rem 0 .6rem; }
p.lead { color: #475569; margin-top: 0; } p.note { color: #64748b; font-size: .9rem; }
img { max-width: 100%; border-radius: 8px; border: 1px solid #e2e8f0; background: #fff; }
table { border-collapse: collapse; background: #fff; border: 1px solid #e2e8f0; border-radius: 8px; overflow: hidden; }
th, td { padding: .4rem .9rem; text-align: right; border-bottom: 1px solid #eef2f7; }
td { font-variant-numeric: tabular-nums; }
th:first-child, td:first-child { text-align: left; } th { background: #f1f5f9; font-weight: 600; }
tr:last-child td { border-bottom: 0; }
"""


@dataclass(frozen=True)
class Section:
    """A part of a page: a heading, some text, a table, and a picture by file name."""

    heading: str
    text: str = ""
    table: Sequence[Sequence[str]] = ()
    picture: str = ""


def page(title: str, lead: str, sections: Sequence[Section]) -> str:
    """An HTML page; all text is escaped."""
    body = "\n".join(_section(section) for section in sections)
    return (
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>\n'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style>\n'
        f'<main><h1>{html.escape(title)}</h1><p class="lead">{html.escape(lead)}</p>\n{body}\n</main></html>\n'
    )


def _section(section: Section) -> str:
    parts = [f"<h2>{html.escape(section.heading)}</h2>"]
    if section.text:
        parts.append(f"<p>{html.escape(section.text)}</p>")
    if section.table:
        head, *rows = section.table
        parts.append("<table><tr>" + "".join(f"<th>{html.escape(cell)}</th>" for cell in head) + "</tr>")
        parts += ["<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows]
        parts.append("</table>")
    if section.picture:
        parts.append(f'<img src="{html.escape(section.picture)}" alt="{html.escape(section.heading)}">')
    return "\n".join(parts)


def markdown(rows: Sequence[Sequence[str]]) -> list[str]:
    """A table in Markdown; the first row is its head."""
    head, *body = rows
    lines = [f"| {' | '.join(head)} |", f"|---|{'---:|' * (len(head) - 1)}"]
    return lines + [f"| {' | '.join(row)} |" for row in body]


def write(folder: Path, files: Mapping[str, bytes | str]) -> None:
    """Writes each file into `folder`, each whole or not at all.

    Raises:
        OutputError: the place cannot be written to.
    """
    for name, content in files.items():
        with atomic_file(folder / name) as beside:
            beside.write_bytes(content.encode() if isinstance(content, str) else content)


def write_evaluation(evaluation: Evaluation, folder: Path) -> None:
    """Writes report.html, result.json, confusion.png and reliability.png; training.png where there was training.

    Raises:
        OutputError: the place cannot be written to.
    """
    facts = [
        ("", evaluation.provenance.backend),
        ("accuracy", f"{evaluation.accuracy:.4f}"),
        ("expected calibration error", f"{evaluation.calibration_error:.4f}"),
        ("Brier score, 0 to 2", f"{evaluation.brier:.4f}"),
        ("log loss, nats", f"{evaluation.nll:.4f}"),
        ("test pictures", str(evaluation.provenance.images)),
        ("pictures a second, in batches", f"{evaluation.images_per_second:.0f}"),
    ]
    worst = sorted(evaluation.class_accuracy.items(), key=lambda item: item[1])
    sections = [
        Section("Result", "; ".join(evaluation.provenance.notes), facts),
        Section("What is taken for what", picture="confusion.png"),
        Section("Is it as sure as it is right?", picture="reliability.png"),
        Section("Classes, the hardest first", table=[("class", "accuracy"), *((k, f"{v:.3f}") for k, v in worst)]),
    ]
    if evaluation.provenance.history:
        sections.append(Section("How it was trained", picture="training.png"))
    title = f"{Path(evaluation.provenance.model).name} on {evaluation.provenance.data}"
    files: dict[str, bytes | str] = {
        "confusion.png": pictures.confusion(
            evaluation.confusion, evaluation.classes, "Confusion, % of each true class"
        ),
        "reliability.png": pictures.reliability(evaluation.reliability, evaluation.calibration_error),
        "result.json": json.dumps(asdict(evaluation), indent=1),
        "report.html": page(title, f"{evaluation.provenance.backend} on {evaluation.provenance.machine}", sections),
    }
    if evaluation.provenance.history:
        files["training.png"] = pictures.training(evaluation.provenance.history)
    write(folder, files)
