"""The messages in docs/how-to/troubleshooting.md are those that the program prints."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "how-to" / "troubleshooting.md"
FOLDERS = ("sdk", "exporters", "trainers", "runtimes")
LEAST = 8  # letters of a part of a message that is looked for
# values in outputs
NO_MESSAGES = {"past_deadline", "no_time_to_rank", "superseded", "degraded", "accepted", "/healthz"}


@cache
def program_text() -> str:
    """All source text, with texts that go over several lines joined to one."""
    sources = (path.read_text() for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py")))
    return re.sub(r'"\s*\n\s*f?"', "", "\n".join(sources))


def quoted(page: str) -> list[str]:
    """The inline code of the first column of the tables: messages, and a few values."""
    cells = [line.split(" | ")[0].removeprefix("| ") for line in page.splitlines() if line.startswith("| ")]
    return [code for cell in cells for code in re.findall(r"`([^`]+)`", cell)]


def missing_parts(message: str) -> list[str]:
    parts = (part.strip(" .;:,") for part in re.split(r"\.\.\.|%", message))
    return [part for part in parts if len(part) >= LEAST and part not in program_text()]


def test_the_messages_are_those_of_the_program() -> None:
    messages = [each for each in quoted(PAGE.read_text()) if each not in NO_MESSAGES]
    assert len(messages) > 40
    missing = [f"{message}: {part}" for message in messages for part in missing_parts(message)]
    assert not missing, "\n".join(missing)


def test_the_check_finds_what_it_looks_for() -> None:
    assert quoted("| `no bundle at ...` or `x` | `y` |\n|---|---|") == ["no bundle at ...", "x"]
    assert missing_parts("no bundle at ...; check the route to it, please") == ["check the route to it, please"]
