"""A decorator for commands that take minutes and write one output: two of them with one `--out` exclude each other."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import ParamSpec, TypeVar

from allweather.runtimes.system.output_lock import output_lock

P = ParamSpec("P")
R = TypeVar("R")


def locks_output(command: Callable[P, R]) -> Callable[P, R]:
    """Makes a command hold the lock of its option `out` while it runs, and delete what killed ones left beside it.

    Of several processes of one run, only the main one holds the lock.
    """

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        out = kwargs.get("out")
        is_main = all(os.environ.get(name, "0") == "0" for name in ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID"))
        with output_lock(out) if isinstance(out, Path) and is_main else nullcontext():
            return command(*args, **kwargs)

    return run
