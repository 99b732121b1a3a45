"""The figure that every plot is drawn on: its style, its colors and its PNG, by matplotlib without a screen."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from allweather.runtimes.system.isolated_imports import isolated_imports
from allweather.runtimes.text import printable, shortened

with isolated_imports():
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
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
    "text.parse_math": False,  # names are no mathematics, nor TeX
    "text.usetex": False,
}
DOTS_PER_INCH = 130
PADDING = 0.1  # inches around all that is drawn
MAX_TEXT_CHARACTERS = 120  # of one line of text
MAX_NAME_CHARACTERS = 40  # of a name in a plot


class _Renderer(RendererAgg):
    """Draws each text as one that fonts can hold: the one way out for the text of a plot."""

    def draw_text(self, gc: Any, x: Any, y: Any, s: str, *args: Any, **kwargs: Any) -> None:
        super().draw_text(gc, x, y, _shown(s), *args, **kwargs)  # type: ignore[no-untyped-call]

    def get_text_width_height_descent(self, s: str, prop: Any, ismath: Any) -> tuple[float, float, float]:
        size: tuple[float, float, float] = super().get_text_width_height_descent(  # type: ignore[no-untyped-call]
            _shown(s), prop, ismath
        )
        return size


class _Canvas(FigureCanvasAgg):
    """A canvas whose texts pass through `_Renderer`."""

    def get_renderer(self) -> RendererAgg:
        renderer: RendererAgg = super().get_renderer()  # type: ignore[no-untyped-call]
        if not isinstance(renderer, _Renderer):
            self.renderer = renderer = _Renderer(  # type: ignore[no-untyped-call]
                renderer.width, renderer.height, renderer.dpi
            )
        return renderer


def _shown(text: str) -> str:
    return shortened(printable(text), MAX_TEXT_CHARACTERS)


def without_middle(name: str, limit: int = MAX_NAME_CHARACTERS) -> str:
    """Returns a name without its middle if it is longer than a plot has place for."""
    half = limit // 2
    return name if len(name) <= limit else f"{name[: half - 1]}…{name[-half:]}"


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
        _Canvas(figure)
        yield figure, png
        with warnings.catch_warnings():  # letters that the font lacks are drawn as boxes
            warnings.filterwarnings("ignore", "Glyph .* missing from font|Matplotlib currently does not support")
            # the layout reckons with the axes as they are before their aspect shrinks them, and can cut labels off
            figure.savefig(png, format="png", bbox_inches="tight", pad_inches=PADDING)
