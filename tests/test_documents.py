"""The documents name only files, headings, commands, options and choices that exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import cache
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
import typer

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "docs" / "results"
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
COMMAND_DOCUMENTS = [path for path in DOCUMENTS if path.name != "CONTRIBUTING.md"]
FOLDERS = ("benchmarks", "docs", "exporters", "runtimes", "samples", "sdk", "tests", "trainers")
PROGRAM = "allweather"
PROGRAM_OPTIONS = {"--help", "--version"}
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
PATH = re.compile(rf"(?<![\w./-])(?:{'|'.join(FOLDERS)})/[\w./*-]*")
OPTION = re.compile(r"--[a-z][a-z0-9-]*")

each_document = pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
each_command_document = pytest.mark.parametrize("path", COMMAND_DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))


@cache
def commands() -> dict[str, Any]:
    """The commands of the command line by name; it is imported without torch."""
    from allweather.cli.app import app

    group: Any = typer.main.get_command(app)
    return dict(group.commands)


def options(command: Any) -> dict[str, Any]:
    return {name: option for option in command.params for name in (*option.opts, *option.secondary_opts)}


def literals(annotation: Any) -> tuple[str, ...]:
    """The strings of the Literal in an annotation, such as Literal["at", "st"] | None; empty if there is none."""
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    return tuple(text for inner in get_args(annotation) for text in literals(inner))


def all_options() -> set[str]:
    return PROGRAM_OPTIONS | {name for command in commands().values() for name in options(command)}


def without_fences(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def indented_lines(text: str) -> Iterator[str]:
    """The lines of indented code blocks, without comments; a line that ends in a backslash is joined with the next."""
    for line in re.sub(r"\s*\\\n\s*", " ", without_fences(text)).splitlines():
        if line.startswith("    "):
            yield re.split(r"\s#\s", line)[0].strip()


def inline_code(text: str) -> Iterator[str]:
    """The inline code of a document, also where it goes over the end of a line."""
    prose = re.sub(r"^    .*$", "", without_fences(text), flags=re.MULTILINE)
    for code in re.findall(r"`([^`]+)`", prose):
        yield " ".join(code.split())


def anchors(path: Path) -> set[str]:
    """The anchors that GitHub gives to the headings of a Markdown file."""
    headings = [line.lstrip("#").strip().lower() for line in path.read_text().splitlines() if line.startswith("#")]
    return {re.sub(r"[^\w -]", "", heading).replace(" ", "-") for heading in headings}


def faults(line: str) -> Iterator[str]:
    """What is wrong with a command line of ours, given without the name of the program."""
    try:
        name, *words = shlex.split(line.replace("[", " ").replace("]", " "))
    except ValueError as error:
        yield f"{line}: {error}"
        return
    if name not in commands():
        if name not in PROGRAM_OPTIONS:
            yield f"{line}: no command or option {name}"
        return
    known = options(commands()[name])
    for word, value in zip_longest(words, words[1:], fillvalue=""):
        option = word.split("=")[0]
        if option.startswith("--") and option not in (*known, *PROGRAM_OPTIONS):
            yield f"{line}: {name} has no option {option}"
        choices = literals(get_type_hints(commands()[name].callback)[known[option].name]) if option in known else ()
        yield from (f"{line}: {option} cannot be {one}" for one in value.split("|") if choices and one not in choices)


def faults_of_inline_code(code: str) -> Iterator[str]:
    """What is wrong with inline code that begins with our program, one of our commands with an option, or an option."""
    first, _, rest = code.partition(" ")
    if first == PROGRAM and rest:
        yield from faults(rest)
    elif first in commands() and "--" in rest:
        yield from faults(code)
    elif first.startswith("--"):
        yield from (f"{code}: no command has {name}" for name in OPTION.findall(code) if name not in all_options())


@each_document
def test_links_and_images_lead_to_files_and_headings(path: Path) -> None:
    for link in LINK.findall(path.read_text()):
        if "://" in link or link.startswith("mailto:"):
            continue
        file, _, anchor = link.partition("#")
        linked = (path.parent / file).resolve() if file else path
        assert linked.exists(), f"{link} does not exist"
        assert not anchor or anchor in anchors(linked), f"{link}: no such heading"


@each_document
def test_paths_of_the_repository_exist(path: Path) -> None:
    for name in PATH.findall(path.read_text()):
        pattern = name.rstrip("./-")
        assert list(ROOT.glob(pattern)), f"{name} does not exist"


@each_document
def test_options_of_scripts_exist(path: Path) -> None:
    text = path.read_text()
    for line in (*indented_lines(text), *inline_code(text)):
        for script, arguments in re.findall(r"\bpython ((?:benchmarks|samples)/\S+\.py)(.*)", line):
            source = (ROOT / script).read_text()
            for option in OPTION.findall(arguments):
                assert f'"{option}"' in source, f"{script} has no option {option}"


@each_command_document
def test_commands_options_and_choices_exist(path: Path) -> None:
    text = path.read_text()
    found: list[str] = []
    for line in indented_lines(text):
        if line.startswith(f"{PROGRAM} "):
            found += faults(line.removeprefix(f"{PROGRAM} "))
    if RESULTS not in path.parents:
        for code in inline_code(text):
            found += faults_of_inline_code(code)
    assert not found, "\n".join(found)


def test_the_checks_find_what_they_look_for() -> None:
    assert not [*faults("train --data signs --arch resnet20 --out my.safetensors")]
    assert [*faults("augment my.safetensors")] == ["augment my.safetensors: no command or option augment"]
    assert "train has no option --peak-rate" in str([*faults("train --data signs --peak-rate 1")])
    assert "--method cannot be magic" in str([*faults("train --method magic")])
    assert [*faults_of_inline_code("--peak-rate")]
    assert [*faults_of_inline_code("finetune --method at --batch 3")]
    assert not [*faults_of_inline_code("pip install --no-deps .")]
    assert [*indented_lines("a\n\n    b \\\n      --c  # d\n```\n    e\n```\n")] == ["b --c"]
    assert [*inline_code("a `b\nc` d\n\n    `e`\n\n```\n`f`\n```\n`g`")] == ["b c", "g"]
