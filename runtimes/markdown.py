"""Text as Markdown: escapes what a user wrote, and writes pages and tables."""

from __future__ import annotations

import re
from collections.abc import Sequence

from allweather.runtimes.text import printable

# An underscore between letters or digits marks nothing up, so that gaussian_noise stays readable.
_MARKUP = re.compile(r"[\\`*\[\]<>|$&~#]|_(?![^\W_])|(?<![^\W_])_")
# what begins a list, draws a rule, or makes the line above a heading
_LEADING = re.compile(r"[-+](?=\s|$)|[-=](?=[-= ]*$)|[0-9]+(?=[.)](?:\s|$))")


def markdown(text: str) -> str:
    """Returns a text as one line that Markdown shows as it is: its markup is escaped, also that of HTML and formulas.

    Spaces at its ends are left out, as Markdown does not show them.
    """
    escaped = _MARKUP.sub(r"\\\g<0>", printable(text).strip())
    found = _LEADING.match(escaped)
    if found is None:
        return escaped
    rest = escaped[found.end() :]
    return f"{found[0]}\\{rest}" if found[0].isdigit() else f"\\{found[0]}{rest}"


def markdown_page(title: str, lead: str, *blocks: Sequence[str]) -> str:
    """Returns a page in Markdown.

    Args:
        title: Title of the page.
        lead: The sentence below it.
        blocks: Lines of Markdown, such as those of a table; blocks are separated by an empty line.
    """
    lines = [f"# {markdown(title)}", "", markdown(lead), ""]
    for block in blocks:
        lines += [*block, ""]
    return "\n".join(lines)


def markdown_table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Returns the lines of a Markdown table; the first of the rows is its header."""
    head, *body = [[markdown(cell) for cell in row] for row in rows]
    lines = [f"| {' | '.join(head)} |", f"|---|{'---:|' * (len(head) - 1)}"]
    return lines + [f"| {' | '.join(row)} |" for row in body]
