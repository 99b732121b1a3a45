"""What the studies print and draw: mean and deviation over seeds, and a dot for every run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from allweather.pictures import BLUE, GREY, png_figure


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
            axes.plot([np.mean(values)], [place], "|", color=GREY, markersize=16)
        axes.set_yticks(range(len(rows)), list(rows))
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set(xlabel=label)
    return png.getvalue()
