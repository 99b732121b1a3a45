"""The documentation site builds without a warning, needs nothing from elsewhere, and describes all that is public."""

from __future__ import annotations

import html
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import typer

import allweather

ROOT = Path(__file__).parent.parent
ELSEWHERE = re.compile(r'<(?:script|link|img|iframe)[^>]*\s(?:src|href)="?(?:https?:)?//[^>]*>')
PAGES_OF_COMMANDS = "reference/commands"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built strictly: each warning, such as that of a link to a missing heading, ends the build."""
    if any(find_spec(name) is None for name in ("mkdocs", "material", "mkdocstrings_handlers", "latex2mathml")):
        if os.environ.get("CI"):
            pytest.fail("the extra docs is not installed, and CI must not skip")
        pytest.skip("the extra docs is not installed: that the documentation site can be built was not checked")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONWARNINGS": "default"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def pages(site: Path) -> dict[str, str]:
    return {str(path.relative_to(site)): path.read_text() for path in sorted(site.rglob("*.html"))}


@pytest.mark.slow
def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    for name, text in pages(site).items():
        found = ELSEWHERE.findall(text)
        assert not [each for each in found if 'rel="canonical"' not in each], name
        assert 'class="mermaid"' not in text, f"{name}: the theme would load a program to draw this"
    for style in site.rglob("*.css"):
        assert not re.search(r"(?:@import|url\()\s*[\"']?(?:https?:)?//", style.read_text()), style


@pytest.mark.slow
def test_every_command_and_option_has_its_place(site: Path) -> None:
    from allweather.cli.app import app

    group: Any = typer.main.get_command(app)
    for name, command in group.commands.items():
        page = html.unescape((site / PAGES_OF_COMMANDS / f"{name}.html").read_text())
        names = [each for option in command.params if option.param_type_name == "option" for each in option.opts]
        assert [each for each in names if f"<code>{each}</code>" not in page] == [], name


@pytest.mark.slow
def test_every_public_name_is_described_once(site: Path) -> None:
    from allweather import evaluation, exporters, trainers

    names = [f"allweather.{name}" for name in allweather.__all__]
    for package in (evaluation, exporters, trainers):
        short = package.__name__.rpartition(".")[2]
        names += [f"allweather.{short}.{name}" for name in package.__all__ if not name.isupper()]
    text = "".join(text for name, text in pages(site).items() if name.startswith("reference/api/"))
    # a package has the name of this function, so its page names the place
    text = text.replace("allweather.runtimes.realtime.realtime.realtime", "allweather.realtime")
    assert [name for name in names if text.count(f'id="{name}"') != 1] == []
    assert all(f"trainers.{name}" in text for name in trainers.__all__ if name.isupper())


@pytest.mark.slow
def test_equations_and_diagrams_are_drawn(site: Path) -> None:
    everything = pages(site)
    assert "<math" in everything["concepts/robust-finetuning.html"]
    assert '<svg class="diagram"' in everything["architecture.html"]
    for name, text in everything.items():
        if name.startswith("concepts/"):
            assert "$<code>" not in text, name
            assert "language-math" not in text, name


@pytest.mark.slow
def test_the_first_page_says_what_it_is_about(site: Path) -> None:
    assert "test-time augmentation" in " ".join((site / "index.html").read_text().split())
