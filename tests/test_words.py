"""The words that docs/glossary.md has replaced stay out of public names, options, help and headings."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

ROOT = Path(__file__).parent.parent
FOLDERS = ("sdk", "exporters", "trainers", "runtimes")
SPELLINGS = ("colour", "colours", "grey", "centre", "centred")


def replaced_words() -> set[str]:
    """The last column of the glossary's last table."""
    _, table = (ROOT / "docs" / "glossary.md").read_text().split("words that are not used\n")
    rows = [line for line in table.splitlines() if line.startswith("|")]
    return {*SPELLINGS, *(word for row in rows for word in re.findall(r"`([^`]+)`", row.rsplit("|", 2)[1]))}


WORDS = replaced_words()


def parts(name: str) -> set[str]:
    """The words of an identifier, and the identifier itself: MeanLooks and mean_looks hold "looks"."""
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    return {*snake.split("_"), snake}


def words_in(text: str) -> set[str]:
    low = text.lower()
    return {word for word in WORDS if re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", low)}


def public_names(tree: ast.Module) -> Iterator[str]:
    """Functions, classes, methods, their parameters, fields and constants that do not begin with an underscore."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            if node.name.startswith("_"):
                continue
            yield node.name
            inner = node.body if isinstance(node, ast.ClassDef) else [node]
            for member in inner:
                if isinstance(member, ast.FunctionDef) and (member is node or not member.name.startswith("_")):
                    yield member.name
                    arguments = member.args
                    for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
                        yield argument.arg
                elif isinstance(member, ast.AnnAssign) and isinstance(member.target, ast.Name):
                    yield member.target.id
        elif isinstance(node, ast.Assign):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id


def test_public_names_are_in_the_words_of_the_glossary() -> None:
    paths = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    assert len(paths) > 500
    replaced = [
        f"{path}: {name} holds a word that the glossary replaces"
        for path in paths
        for name in (path.stem, *public_names(ast.parse(path.read_text())))
        if parts(name) & WORDS
    ]
    assert replaced == []


def commands() -> Iterator[tuple[str, Any]]:
    from allweather.cli.app import app

    group: Any = typer.main.get_command(app)
    yield "allweather", group
    yield from group.commands.items()


def test_commands_options_and_help_are_in_the_words_of_the_glossary() -> None:
    for name, command in commands():
        assert not words_in(f"{name} {command.help or ''}"), f"{name}: {words_in(f'{name} {command.help}')}"
        for option in command.params:
            text = " ".join([*option.opts, *option.secondary_opts, getattr(option, "help", None) or ""])
            told = words_in(text.replace("--", " ").replace("-", " ")) | words_in(text)
            assert not told, f"{name} {option.name}: {told}"


@pytest.mark.parametrize(
    "path", [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))], ids=lambda path: str(path.relative_to(ROOT))
)
def test_headings_are_in_the_words_of_the_glossary(path: Path) -> None:
    for line in path.read_text().splitlines():
        if line.startswith("#"):
            assert not words_in(line.lstrip("#")), f"{path}: {line}"


def test_the_check_finds_what_it_looks_for() -> None:
    assert {"looks", "picture", "settled", "left_out", "colour"} <= WORDS
    assert parts("MeanLooks") & WORDS
    assert parts("left_out") & WORDS
    assert words_in("How a frame looks: by its pictures.") == {"looks", "pictures"}
    assert not words_in("lookup of an overlooked view")
