"""Shared parts of the studies: a folder for runs with the same settings, mean and deviation over seeds, dot plots."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from allweather.reports.figure import BLUE, GRAY, png_figure
from allweather.runtimes.errors import AllweatherError, UsageError
from allweather.runtimes.system.atomic_files import atomic_file


@contextmanager
def errors_in_one_line() -> Iterator[None]:
    """Ends the program with a one-line message for an error that a user can correct."""
    try:
        yield
    except AllweatherError as error:
        raise SystemExit(f"error: {error}") from None


def open_study_folder(folder: Path, **settings: object) -> None:
    """Makes the folder of a study. Its files are named by row and seed, so all runs in it must have the same settings.

    Args:
        folder: The folder.
        settings: Settings that all runs in the folder share.

    Raises:
        UsageError: The folder holds runs with other settings.
    """
    path, text = folder / "settings.json", json.dumps(settings, default=str, sort_keys=True)
    folder.mkdir(parents=True, exist_ok=True)
    if not path.is_file():
        with atomic_file(path) as temporary:
            temporary.write_text(text)
    elif path.read_text() != text:
        raise UsageError(f"{folder} holds runs with {path.read_text()}, and this run has {text}; name another folder")


def seeds(count: int, exists: Callable[[int], bool], only: int | None = None) -> Iterator[int]:
    """Yields the seeds from 0 to below `count`, and further ones as long as their runs exist; or `only` one seed."""
    if only is not None:
        yield only
        return
    seed = 0
    while seed < count or exists(seed):
        yield seed
        seed += 1


def mean_and_deviation(values: Sequence[float], sign: str = "") -> str:
    """Returns mean and sample standard deviation, such as "91.20 (0.15)"; of one value, the mean alone."""
    deviation = f" ({np.std(values, ddof=1):.2f})" if len(values) > 1 else ""
    return f"{np.mean(values):{sign}.2f}{deviation}"


def dot_plot(rows: Mapping[str, Sequence[float]], label: str) -> bytes:
    """Returns a PNG with a dot for each value of each row and a line at the row's mean.

    Args:
        rows: Values of each row, by its name.
        label: Label of the value axis.
    """
    with png_figure(7, 0.45 * len(rows) + 1.2) as (figure, png):
        axes = figure.add_subplot()
        for row, values in enumerate(rows.values()):
            axes.plot(values, [row] * len(values), "o", color=BLUE, markersize=5)
            axes.plot([np.mean(values)], [row], "|", color=GRAY, markersize=16)
        axes.set_yticks(range(len(rows)), list(rows))
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set(xlabel=label)
    return png.getvalue()
