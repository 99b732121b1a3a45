"""What studies share: a folder for runs of the same settings, mean and deviation over seeds, a dot for every run."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from allweather.reports.plots import BLUE, GRAY, png_figure
from allweather.runtimes.errors import AllweatherError, UsageError
from allweather.runtimes.system.atomic_files import atomic_file


@contextmanager
def in_one_line() -> Iterator[None]:
    """Ends the program with one line where something that a user can mend is wrong."""
    try:
        yield
    except AllweatherError as error:
        raise SystemExit(f"error: {error}") from None


def keep_to(folder: Path, **settings: object) -> None:
    """Makes the folder of a study; its files are named by row and seed, so all must be of the same settings.

    Raises:
        UsageError: it holds runs of other ones.
    """
    place, own = folder / "settings.json", json.dumps(settings, default=str, sort_keys=True)
    folder.mkdir(parents=True, exist_ok=True)
    if not place.is_file():
        with atomic_file(place) as beside:
            beside.write_text(own)
    elif place.read_text() != own:
        raise UsageError(f"{folder} holds runs of {place.read_text()}, and this is {own}; name another folder")


def seeds(count: int, there: Callable[[int], bool]) -> Iterator[int]:
    """0 to below `count`, and on as long as a run is there."""
    seed = 0
    while seed < count or there(seed):
        yield seed
        seed += 1


def mean_and_deviation(values: Sequence[float], sign: str = "") -> str:
    """Such as "91.20 (0.15)", the deviation of the sample; the mean alone where there is one value."""
    deviation = f" ({np.std(values, ddof=1):.2f})" if len(values) > 1 else ""
    return f"{np.mean(values):{sign}.2f}{deviation}"


def dots(rows: Mapping[str, Sequence[float]], label: str) -> bytes:
    """A PNG with a dot for each value of each row and a line at the row's mean; `label` is of the values."""
    with png_figure(7, 0.45 * len(rows) + 1.2) as (figure, png):
        axes = figure.add_subplot()
        for place, values in enumerate(rows.values()):
            axes.plot(values, [place] * len(values), "o", color=BLUE, markersize=5)
            axes.plot([np.mean(values)], [place], "|", color=GRAY, markersize=16)
        axes.set_yticks(range(len(rows)), list(rows))
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set(xlabel=label)
    return png.getvalue()
