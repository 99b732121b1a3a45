"""Report pages: one HTML file with its images beside it, which needs no network to be read."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from allweather.runtimes.system.atomic_files import atomic_file
from allweather.runtimes.system.path_argument import as_path
from allweather.runtimes.text import printable

STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.55 system-ui, sans-serif; color: #1e293b; background: #f8fafc; margin: 0; }
main { max-width: 60rem; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
h1 { font-size: 1.9rem; margin: 0 0 .3rem; } h2 { font-size: 1.2rem; margin: 2.4rem 0 .6rem; }
p.lead { color: #475569; margin-top: 0; } p.note { color: #64748b; font-size: .9rem; }
img { max-width: 100%; border-radius: 8px; border: 1px solid #e2e8f0; background: #fff; }
table + img { margin-top: .8rem; }
table { border-collapse: collapse; background: #fff; border: 1px solid #e2e8f0; border-radius: 8px; overflow: hidden; }
th, td { padding: .4rem .9rem; text-align: right; border-bottom: 1px solid #eef2f7; }
td { font-variant-numeric: tabular-nums; }
th:first-child, td:first-child { text-align: left; } th { background: #f1f5f9; font-weight: 600; }
tr:last-child td { border-bottom: 0; }
dl { display: grid; grid-template-columns: minmax(6rem, max-content) 1fr; gap: .35rem 1.2rem; margin: .6rem 0; }
dt { font-weight: 600; max-width: 14rem; overflow-wrap: anywhere; } dd { margin: 0; overflow-wrap: anywhere; }
.figures { display: flex; flex-wrap: wrap; gap: 1rem; margin: 1.4rem 0; }
.figures div { flex: 1 1 12rem; background: #fff; border: 1px solid #e2e8f0; border-radius: 8px; padding: .8rem 1rem; }
.figures b { display: block; font-size: 1.6rem; }
@media (prefers-color-scheme: dark) {
  body { color: #e2e8f0; background: #0f172a; }
  p.lead, p.note { color: #a3b2c6; }
  table, .figures div { background: #1e293b; border-color: #334155; }
  th { background: #273449; } th, td { border-color: #334155; } img { border-color: #334155; }
}
"""


@dataclass(frozen=True)
class Section:
    """A section of a page.

    Attributes:
        heading: Heading of the section.
        text: Text below the heading; none if empty.
        table: Rows of a table, the first of them its header; no table if empty.
        image: File name of an image beside the page; no image if empty.
        alt: What the image shows, in words, for those who cannot see it; the heading if empty.
        items: Names, each with what is said of it; no list if empty.
    """

    heading: str
    text: str = ""
    table: Sequence[Sequence[str]] = ()
    image: str = ""
    alt: str = ""
    items: Sequence[tuple[str, str]] = ()


def page(title: str, lead: str, sections: Sequence[Section], figures: Sequence[tuple[str, str]] = ()) -> str:
    """Returns an HTML page; all text is escaped.

    Args:
        title: Title of the page and of the browser's tab.
        lead: One line below the title.
        sections: Sections of the page.
        figures: The numbers that matter most, each with what it is; shown large above the sections.
    """
    cards = [f"<div><b>{_escaped(value)}</b>{_escaped(name)}</div>" for value, name in figures]
    large = f'<div class="figures">{"".join(cards)}</div>\n' if cards else ""
    body = "\n".join(_section(section) for section in sections)
    return (
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{_escaped(title)}</title>\n'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style>\n'
        f'<main><h1>{_escaped(title)}</h1><p class="lead">{_escaped(lead)}</p>\n{large}{body}\n</main></html>\n'
    )


def _escaped(text: str) -> str:
    return html.escape(printable(text))


def _section(section: Section) -> str:
    parts = [f"<h2>{_escaped(section.heading)}</h2>"]
    if section.text:
        parts.append(f"<p>{_escaped(section.text)}</p>")
    if section.table:
        head, *rows = section.table
        parts.append("<table><tr>" + "".join(f"<th>{_escaped(cell)}</th>" for cell in head) + "</tr>")
        parts += ["<tr>" + "".join(f"<td>{_escaped(cell)}</td>" for cell in row) + "</tr>" for row in rows]
        parts.append("</table>")
    if section.items:
        items = (f"<dt>{_escaped(name)}</dt><dd>{_escaped(text)}</dd>" for name, text in section.items)
        parts.append(f"<dl>{''.join(items)}</dl>")
    if section.image:
        parts.append(f'<img src="{_escaped(section.image)}" alt="{_escaped(section.alt or section.heading)}">')
    return "\n".join(parts)


def write_files(folder: Path | str, files: Mapping[str, bytes | str]) -> None:
    """Writes files into a folder, each of them whole or not at all.

    Args:
        folder: Folder to write into; it is made if it does not exist.
        files: Content of each file, by its name.

    Raises:
        OutputError: The folder cannot be written to.
    """
    folder = as_path(folder)
    for name, content in files.items():
        with atomic_file(folder / name) as temporary:
            temporary.write_bytes(content.encode("utf-8", "replace") if isinstance(content, str) else content)
