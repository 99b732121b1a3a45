"""Makes the reference of the command line from the program itself: a page for each command."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

PAGE = "reference/commands/index.md"  # the page before them, with the list of commands in place of LIST
LIST = "<!-- commands -->"
SECTION = "Command line"  # of the navigation, which the pages are added to
WORDS = {int: "whole number", float: "number", str: "text", Path: "path", bool: "true or false"}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Adds the pages of the commands to the navigation, after the page before them."""
    section = _section(config.nav or [])
    if section is not None:
        section += [{name: _uri(name)} for names in _groups().values() for name in names]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages of the commands."""
    for names in _groups().values():
        for name in names:
            files.append(File.generated(config, _uri(name), content="\n".join(_command_page(name))))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Fills in the list of commands."""
    return markdown.replace(LIST, "\n".join(_list())) if page.file.src_uri == PAGE else markdown


def _section(nav: Any) -> list[Any] | None:
    for inner in nav if isinstance(nav, list) else nav.values() if isinstance(nav, dict) else ():
        if isinstance(inner, dict) and SECTION in inner:
            found: list[Any] = inner[SECTION]
            return found
        if (deeper := _section(inner)) is not None:
            return deeper
    return None


def _uri(name: str) -> str:
    return f"reference/commands/{name}.md"


def _groups() -> dict[str, list[str]]:
    """The names of the commands in the groups of the help."""
    from allweather.cli.app import GROUPS

    return {group: [*commands] for group, commands in GROUPS.items()}


def _commands() -> dict[str, Any]:
    from allweather.cli.app import app

    group: Any = typer.main.get_command(app)
    return dict(group.commands)


def _list() -> Iterator[str]:
    for group, names in _groups().items():
        yield from ("", f"## {group}", "", "| command | what it does |", "|---|---|")
        for name in names:
            yield f"| [`{name}`]({name}.md) | {_cell(_first_paragraph(_commands()[name].help))} |"


def _command_page(name: str) -> Iterator[str]:
    command = _commands()[name]
    kinds = get_type_hints(command.callback)
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    options = [each for each in command.params if each.param_type_name == "option" and not each.hidden]
    usage = " ".join(_argument(each) for each in arguments)
    yield from (f"# `allweather {name}`", "", *command.help.strip().splitlines(), "")
    yield from (f"    allweather {name} {usage}".rstrip() + " [OPTIONS]", "")
    if arguments:
        yield from ("## Arguments", "", "| argument | meaning |", "|---|---|")
        yield from (f"| `{_argument(each)}` | {_cell(each.help)} |" for each in arguments)
        yield ""
    yield from ('<div class="options" markdown>', "")
    for panel in dict.fromkeys(each.rich_help_panel for each in options):
        yield from (f"## {panel or 'Options'}", "", "| option | takes | default | meaning |", "|---|---|---|---|")
        yield from (_row(each, kinds[each.name]) for each in options if each.rich_help_panel == panel)
        yield ""
    yield "</div>"


def _argument(argument: Any) -> str:
    name = (argument.metavar or argument.name).upper() + ("..." if argument.nargs == -1 else "")
    return name if argument.required else f"[{name}]"


def _row(option: Any, kind: Any) -> str:
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    takes = "" if option.is_flag else _takes(kind) + ("; may be repeated" if option.multiple else "")
    return f"| {names} | {takes} | {'required' if option.required else _default(option)} | {_cell(option.help)} |"


def _takes(kind: Any) -> str:
    """What a type takes, in words."""
    if get_origin(kind) is Literal:
        return ", ".join(f"`{each}`" for each in get_args(kind))
    if kind in WORDS:
        return WORDS[kind]
    return " or ".join(_takes(inner) for inner in get_args(kind) if inner is not type(None))


def _default(option: Any) -> str:
    default = option.default
    if option.is_flag:
        return f"`{option.opts[0]}`" if default and option.secondary_opts else ""
    values = default if isinstance(default, list | tuple) else [default]
    return ", ".join(f"`{each}`" for each in values if each not in (None, ""))


def _first_paragraph(text: str) -> str:
    return " ".join(text.split("\n\n")[0].split())


def _cell(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|")
