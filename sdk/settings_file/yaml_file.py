"""Reads a YAML file of settings: plain values, sections and lists, and nothing of YAML that could grow or surprise."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NoReturn

import yaml

from allweather.runtimes.errors import UsageError, first_line
from allweather.runtimes.system.path_argument import as_path
from allweather.runtimes.text import printable

MAX_BYTES = 64 << 10
MAX_DEPTH = 10
MAX_VALUES = 1000
MAX_NUMBER_CHARACTERS = 40
_INTEGER = re.compile(r"[-+]?[0-9]{1,18}")
_NUMBER = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_WORDS = {"": None, "~": None, "null": None, "true": True, "false": False}


class WrittenInt(int):
    """A whole number that the file writes in a way of its own, such as 007."""

    written: str


class WrittenFloat(float):
    """A number that the file writes in a way of its own, such as 1.10."""

    written: str


def read_yaml(path: Path | str) -> dict[str, Any]:
    """Reads a file of settings.

    Numbers, true, false and null are read as YAML 1.2 writes them (so 1e-3 is a number, and no and 1:30 are texts).

    Args:
        path: The file.

    Returns:
        Its keys and values: texts, numbers, booleans, None, lists and further mappings.

    Raises:
        UsageError: It cannot be read, is no YAML, is no section of keys, or has a key twice, an alias or a tag.
    """
    path = as_path(path)
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or first_line(error)
        raise UsageError(f"cannot read {printable(str(path)[:200])}: {reason}; name a YAML file") from error
    return parse_yaml(content, path.name)


def parse_yaml(content: bytes, name: str) -> dict[str, Any]:
    """Reads the content of a file of settings; see `read_yaml`.

    Args:
        content: The text, in UTF-8.
        name: What to call it in messages.

    Raises:
        UsageError: As `read_yaml`.
    """
    name = printable(name[:100])
    if len(content) > MAX_BYTES:
        raise UsageError(f"{name} has more than {MAX_BYTES >> 10} kB, which is no file of settings; name another")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{name} is no text in UTF-8; save it as that") from error
    try:
        _check_events(text, name)
        root = yaml.compose(text, yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f" at line {mark.line + 1}" if mark else ""
        raise UsageError(f"{name} is no YAML: {printable(str(error.problem or error.context)[:200])}{place}") from error
    except yaml.YAMLError as error:
        raise UsageError(f"{name} is no YAML: {first_line(error)}") from error
    if root is None:
        return {}
    value = _value(root, name)
    if not isinstance(value, dict):
        kind = "a list" if isinstance(value, list) else "one value"
        raise UsageError(f"{name} holds {kind}; a file of settings holds keys, such as seed: 0")
    return value


def _check_events(text: str, name: str) -> None:
    """Checks before anything is built that there are no aliases (which multiply) and no tags, and an end."""
    depth = 0
    for count, event in enumerate(yaml.parse(text, yaml.SafeLoader)):
        if count > 2 * MAX_VALUES:  # keys and values
            _refuse(name, event, f"there are more than {MAX_VALUES} values, and a file of settings has fewer")
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            _refuse(name, event, "anchors and aliases (& and *) are not read; write the values out")
        if getattr(event, "tag", None) is not None:
            _refuse(name, event, "tags (!) are not read; leave it out")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                _refuse(name, event, f"sections and lists are nested more than {MAX_DEPTH} deep")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _value(node: yaml.Node, name: str) -> Any:
    if isinstance(node, yaml.SequenceNode):
        return [_value(each, name) for each in node.value]
    if not isinstance(node, yaml.MappingNode):
        if "\0" in node.value:
            _refuse(name, node, "a text holds the character 0, which no name or path has; leave it out")
        return node.value if node.style else _plain(str(node.value))
    section: dict[str, Any] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            _refuse(name, key, "a key is a word")
        if key.value in section:
            _refuse(name, key, f"the key {printable(key.value[:64])} is there twice; leave one out")
        section[key.value] = _value(value, name)
    return section


def _plain(text: str) -> Any:
    """Returns the value of a text without quotes."""
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return _written(int(text), WrittenInt(text), text)
    if len(text) <= MAX_NUMBER_CHARACTERS and _NUMBER.fullmatch(text):
        return _written(float(text), WrittenFloat(text), text)
    return text


def _written(usual: float, number: WrittenInt | WrittenFloat, text: str) -> float:
    """Returns a number that knows how it is written, unless Python writes it alike."""
    number.written = text
    return usual if repr(usual) == text else number


def _refuse(name: str, part: yaml.Node | yaml.Event, reason: str) -> NoReturn:
    raise UsageError(f"{name}, line {part.start_mark.line + 1}: {reason}")
