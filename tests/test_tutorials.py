"""The tutorials run as they stand, and print what they show, but for the numbers.

A fence with a title is a file. Those of bash are run one after the other, and those of Python without a title are one
program. A fence of text is what the one before it prints. Indented commands need what no test has, and are not run.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
FENCE = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"-?\d[\d.]*(e-?\d+)?")
BUDGET = re.compile(r"\b(budget_ms[=:] ?|--budget-ms )\d+")  # a machine that runs other tests meanwhile needs more
MARK = "--- next fence of the page ---"


@dataclass(frozen=True)
class Fence:
    language: str
    title: str
    text: str


def fences(page: Path) -> list[Fence]:
    return [Fence(*found) for found in FENCE.findall(BUDGET.sub(r"\g<1>2000", page.read_text()))]


def comparable(text: str) -> list[str]:
    """The lines of an output, without numbers, frames of tables and the widths of their columns."""
    bare = re.sub(r"[│┌┐└┘├┤┬┴┼─━]", " ", NUMBER.sub("N", text))
    return [" ".join(line.split()) for line in bare.splitlines() if line.strip()]


def run(command: list[str], folder: Path) -> str:
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=600, check=False,
        env={**os.environ, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, f"{command[-1]}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def run_program(parts: list[str], folder: Path) -> list[str]:
    """Runs the parts of one program; returns what each prints."""
    (folder / "program.py").write_text(f'\nprint("{MARK}")\n'.join(parts))
    return run([sys.executable, "program.py"], folder).split(f"{MARK}\n") if parts else []


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder as the tutorials want it: the samples in it, and the commands of the environment on the path."""
    (tmp_path / "samples").symlink_to(ROOT / "samples")
    (tmp_path / "bin").mkdir()
    for name, line in {"python": "", "allweather": " -m allweather.cli"}.items():
        script = tmp_path / "bin" / name
        script.write_text(f'#!/bin/sh\nexec {sys.executable}{line} "$@"\n')
        script.chmod(0o755)
    return tmp_path


@pytest.mark.end_to_end
@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_a_tutorial_runs_and_prints_what_it_shows(page: Path, folder: Path) -> None:
    parts = [each.text for each in fences(page) if each.language == "python" and not each.title]
    printed = iter(run_program(parts, folder))
    output = ""
    for fence in fences(page):
        if fence.title:
            (folder / fence.title).write_text(fence.text)
        elif fence.language == "bash":
            output = run(["bash", "-euo", "pipefail", "-c", fence.text], folder)
        elif fence.language == "python":
            output = next(printed)
        elif fence.language == "text":
            assert comparable(output) == comparable(fence.text), f"{page.name} shows:\n{fence.text}\nit is:\n{output}"
        else:
            pytest.fail(f"{page.name} has a fence of {fence.language}, which is not run")


def test_there_is_a_tutorial_for_each_user() -> None:
    names = ["camera-application", "jetson-prototype", "research", "vision-pipeline"]
    assert [page.stem for page in TUTORIALS] == names


def test_the_comparison_finds_what_it_looks_for() -> None:
    assert comparable("│ late │ 12  │\n\nend 1.5e-3") == ["late N", "end N"] == comparable("late 0\nend  7")
    assert comparable("crossing 1") != comparable("stop 1")
