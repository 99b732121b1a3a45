"""The figure that every plot is drawn on: its style, its colors and its PNG, by matplotlib without a screen."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from allweather.runtimes.system.isolated_imports import isolated_imports

with isolated_imports():
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

BLUE, GREEN, RED, GRAY = "#2563eb", "#16a34a", "#dc2626", "#64748b"
DARK = "#1e293b"  # of text on light cells; text on dark cells is white
STYLE: dict[Any, Any] = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e2e8f0",
    "axes.axisbelow": True,
}
DOTS_PER_INCH = 130
PADDING = 0.1  # inches around all that is drawn


@contextmanager
def png_figure(width: float, height: float) -> Iterator[tuple[Figure, io.BytesIO]]:
    """Opens a figure to draw on; when the `with` block ends, the buffer holds it as a PNG.

    Args:
        width: Width in inches.
        height: Height in inches.

    Yields:
        (the figure, the buffer).
    """
    png = io.BytesIO()
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width, height), dpi=DOTS_PER_INCH, layout="constrained")
        FigureCanvasAgg(figure)
        yield figure, png
        # the layout reckons with the axes as they are before their aspect shrinks them, and can cut labels off
        figure.savefig(png, format="png", bbox_inches="tight", pad_inches=PADDING)
