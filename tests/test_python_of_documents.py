"""The Python lines of the documents use names, arguments and types that exist, as a user's type checker sees them."""

from __future__ import annotations

import ast
import importlib
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```python.*?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
OTHER_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"(?:^    .*\n|^\n)+", re.MULTILINE)
FAULTS = ("arg-type", "attr-defined", "call-arg", "call-overload", "index", "operator")  # error codes of mypy

MISSING_IMAGE = '| None"; expected'  # what cv2.imread gives for a file that is not there; no example checks that


def programs(text: str) -> Iterator[str]:
    """Yields the Python of a page: one program up to the next lines that import something, which begin another."""
    indented = (textwrap.dedent(each) for each in INDENTED.findall(OTHER_FENCE.sub("", text)))
    program: list[str] = []
    for lines in (*FENCE.findall(text), *filter(is_python, indented)):
        if program and re.match(r"\s*(import|from) ", lines):
            yield "\n".join(program)
            program = []
        program.append(lines)
    if program:
        yield "\n".join(program)


def is_python(lines: str) -> bool:
    """Returns whether an indented block holds Python that calls something, and no commands."""
    try:
        nodes = list(ast.walk(ast.parse(lines)))
    except SyntaxError:
        return False
    return any(isinstance(node, ast.Call | ast.Import | ast.ImportFrom) for node in nodes)


def unknown_names(program: str) -> Iterator[str]:
    """Yields the names of our packages that do not exist; packages that import a name at its first use hide it."""
    for node in ast.walk(ast.parse(program)):
        names: list[tuple[str, str]] = []
        if isinstance(node, ast.ImportFrom) and node.module and node.module.partition(".")[0] == "allweather":
            names = [(node.module, each.name) for each in node.names]
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) == "allweather":
            names = [("allweather", node.attr)]
        for module, name in names:
            if not hasattr(importlib.import_module(module), name) and not find_spec(f"{module}.{name}"):
                yield f"{module}.{name}"


def faults(folder: Path) -> list[str]:
    """Returns what mypy finds in the files of a folder."""
    make = shutil.which("make")
    assert make, "make is needed: it lays the link tree that mypy reads"
    subprocess.run([make, "-C", str(ROOT), "--no-print-directory", ".types"], check=True, capture_output=True)
    arguments = ["--config-file", "../pyproject.toml", "--cache-dir", "../.mypy_cache", *map(str, folder.iterdir())]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *arguments], cwd=ROOT / ".types", capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    found = (
        line
        for line in done.stdout.splitlines()
        if line.endswith(tuple(f"[{code}]" for code in FAULTS)) and MISSING_IMAGE not in line
    )
    names = {path.name for path in folder.iterdir()}  # mypy names the folder of an earlier run where nothing changed
    return [line for line in found if Path(line.partition(":")[0]).name in names]


@pytest.mark.slow
def test_the_python_of_the_documents_is_that_of_the_library(tmp_path: Path) -> None:
    count = 0
    for page in DOCUMENTS:
        stem = re.sub(r"\W", "_", str(page.relative_to(ROOT).with_suffix("")))
        for program in programs(page.read_text()):
            assert not list(unknown_names(program)), page
            (tmp_path / f"{stem}_{count}.py").write_text(program)
            count += 1
    assert count > 40
    found = faults(tmp_path)
    assert not found, "\n".join(found)


@pytest.mark.slow
def test_the_checks_find_what_they_look_for(tmp_path: Path) -> None:
    assert list(unknown_names("from allweather.trainers import trane\nallweather.lode('my.aw')")) == [
        "allweather.trainers.trane",
        "allweather.lode",
    ]
    (tmp_path / "wrong.py").write_text(
        "import allweather\nperceiver = allweather.load('my.aw', budget=33)\nperceiver.decided()\nperceiver(3)\n"
    )
    assert [re.findall(r":(\d+): .*\[(.*)]", line)[0] for line in faults(tmp_path)] == [
        ("2", "call-arg"),
        ("3", "attr-defined"),
        ("4", "arg-type"),
    ]
