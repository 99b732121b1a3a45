"""Reads a text that may hold a password from an environment variable or a file, so that `ps` shows no password."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote

from allweather.runtimes.errors import UsageError
from allweather.runtimes.text import printable

ENVIRONMENT, FILE = "env:", "file:"
MAX_FILE_BYTES = 64 << 10
ADVICE = "it holds one line with a device, file, folder, URL or pipeline, such as rtsp://host/path"


def read_source(text: str, environment: Mapping[str, str] = os.environ) -> str:
    """Returns the source that a text stands for; see `read_indirect`. A file called env:NAME is named as ./env:NAME.

    Raises:
        UsageError: The variable is not set, the file cannot be read, or it does not hold one line of text.
    """
    return _read(text, "source", ADVICE, environment)  # a path may have any bytes


def read_indirect(text: str, what: str, advice: str, environment: Mapping[str, str] = os.environ) -> str:
    """Returns what a text stands for: the text itself, unless it is env:NAME or file:PATH.

    The command line of a process can be read by every user of a machine; the environment and files cannot. A URL
    file:// is left as it is.

    Args:
        text: A text, env: and the name of an environment variable, or file: and the path of a text file.
        what: What the text is, for messages.
        advice: What the variable or the file should hold, for messages.
        environment: The environment variables.

    Raises:
        UsageError: The variable is not set, the file cannot be read, or it does not hold one line of text in UTF-8.
    """
    found = _read(text, what, advice, environment)
    check_utf8(found, f"the {what}", advice)
    return found


def check_utf8(text: str, what: str, advice: str) -> None:
    """Checks that a text can be sent.

    Args:
        text: A text, which may be a secret.
        what: What it is, for messages.
        advice: What it should be, for messages.

    Raises:
        UsageError: It is not text in UTF-8.
    """
    try:
        text.encode()
    except UnicodeEncodeError:  # it holds bytes of an environment variable or of the command line
        raise UsageError(f"{what} is not text in UTF-8; {advice}") from None


def unquoted(text: str, what: str) -> str:
    """Returns a part of an address with its percent signs decoded.

    Args:
        text: The part as it is written.
        what: What it is, for messages.

    Raises:
        UsageError: What the percent signs stand for is no text in UTF-8.
    """
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise UsageError(
            f"the percent signs in {what} stand for no text in UTF-8; write a percent sign itself as %25"
        ) from None


def _read(text: str, what: str, advice: str, environment: Mapping[str, str]) -> str:
    """Returns what a text stands for; see `read_indirect`."""
    if text.startswith(ENVIRONMENT):
        name = text.removeprefix(ENVIRONMENT)
        where = f"the environment variable {printable(name)}"
        if name not in environment:
            raise UsageError(f"{where} of the {what} {printable(text)} is not set; {advice}")
        return _one_line(environment[name], where, advice)
    if text.startswith(FILE) and not text.startswith(f"{FILE}//"):
        path = Path(text.removeprefix(FILE))
        where = f"the file {printable(str(path))}"
        try:
            if not path.is_file():  # to read a device or a pipe could wait for ever
                raise UsageError(f"there is no file {printable(str(path))} for the {what} {printable(text)}; {advice}")
            with path.open("rb") as file:
                content = file.read(MAX_FILE_BYTES + 1)
            if len(content) > MAX_FILE_BYTES:
                raise UsageError(f"{where} has more than {MAX_FILE_BYTES} bytes; {advice}")
            return _one_line(content.decode("utf-8-sig"), where, advice)
        except OSError as error:
            raise UsageError(f"{where} cannot be read: {error.strerror or error}; {advice}") from error
        except UnicodeDecodeError as error:
            raise UsageError(f"{where} is not text in UTF-8; {advice}") from error
    return text


def _one_line(text: str, where: str, advice: str) -> str:
    """Returns the only line of a text that is not empty, without blanks around it."""
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    if len(lines) != 1:
        raise UsageError(f"{where} holds {len(lines) or 'no'} lines of text; {advice}")
    if "\0" in lines[0]:
        raise UsageError(f"{where} is not text; {advice}")
    return lines[0]
