"""The command line of the running command, as reports show it: without passwords."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from allweather.runtimes.redaction import redacted

if TYPE_CHECKING:
    from allweather.reports.reading import Origin

KEY = "allweather.command_line"
POLICY = "--policy"  # whose value, as top:2+flip@0.95, is no address although it looks like one with a login


def keep_arguments(context: Any, arguments: Sequence[str]) -> None:
    """Keeps the arguments of a command in its context, for `origin_of`."""
    shown = [
        now if before == POLICY or now.startswith(f"{POLICY}=") else redacted(now)
        for before, now in pairwise(["", *arguments])
    ]
    context.meta[KEY] = shlex.join(["allweather", str(context.info_name), *shown])


def origin_of(context: Any, seed: int | None = None) -> Origin:
    """Returns what made the report of the running command.

    Args:
        context: Context of the command, of typer.
        seed: Its random seed; None if it has none.
    """
    from allweather.reports.reading import Origin

    return Origin.of(context.meta.get(KEY, ""), seed)
