"""Makes the notebooks of samples/notebooks of two tutorials: python docs/notebooks.py.

Text becomes cells of Markdown, and what the tutorial runs cells of code. What it shows as output is left out, as a
notebook shows its own.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ROOT / "samples" / "notebooks"
TUTORIALS = ("camera-application", "vision-pipeline")
FENCE = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```\n?', re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[([^\]]*)\]\((?!\w+:)[^)]*\)")  # to another page, which a notebook has not beside it
START = """# A folder of its own, with the samples in it; and the commands of this environment.
import os
import sys
import tempfile
from pathlib import Path

samples = Path.cwd().parent
os.chdir(tempfile.mkdtemp())
Path("samples").symlink_to(samples)
os.environ["PATH"] = f"{Path(sys.prefix) / 'bin'}:{os.environ['PATH']}"
"""


def code_of(language: str, title: str, text: str) -> str:
    """Returns the code of a cell; empty for what is only shown."""
    if title:
        return f"%%writefile {title}\n{text}"
    return {"python": text, "bash": f"%%bash\n{text}", "text": ""}[language]


def cells(page: str) -> list[tuple[str, str]]:
    """Returns the kind, "markdown" or "code", and the text of each cell of a page."""
    found, end = [], 0
    for fence in FENCE.finditer(page):
        found += [("markdown", page[end : fence.start()]), ("code", code_of(*fence.groups()))]
        end = fence.end()
    found.append(("markdown", page[end:]))
    kept = [(kind, (LINK.sub(r"\1", text) if kind == "markdown" else text).strip("\n")) for kind, text in found]
    kept = [(kind, text) for kind, text in kept if text.strip()]
    return [kept[0], ("code", START.rstrip()), *kept[1:]]


def notebook(page: str) -> dict[str, Any]:
    """Returns the notebook of a page, in version 4.5 of the format."""
    made = []
    for index, (kind, text) in enumerate(cells(page)):
        cell: dict[str, Any] = {"cell_type": kind, "id": f"cell-{index}", "metadata": {}, "source": text}
        made.append({**cell, "execution_count": None, "outputs": []} if kind == "code" else cell)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {"cells": made, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}


def text_of(name: str) -> str:
    """Returns the notebook of a tutorial as the text of its file."""
    page = (ROOT / "docs" / "tutorials" / f"{name}.md").read_text(encoding="utf-8")
    return json.dumps(notebook(page), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    NOTEBOOKS.mkdir(exist_ok=True)
    for name in TUTORIALS:
        (NOTEBOOKS / f"{name}.ipynb").write_text(text_of(name), encoding="utf-8")
