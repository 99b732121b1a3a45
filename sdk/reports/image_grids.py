"""Grids of images as PNG: a gallery with captions, and images in named rows or columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from allweather.reports.figure import png_figure, without_middle
from allweather.runtimes.types import Image

MAX_CAPTION_CHARACTERS = 32  # of a line; a class name may have hundreds, which would leave no place for the images
MIN_SMOOTH_PIXELS = 64  # images with fewer rows are enlarged without smoothing, so that their pixels can be seen


def gallery(images: Sequence[Image], captions: Sequence[str], columns: int = 5) -> bytes:
    """Draws images, each under its caption.

    Args:
        images: uint8 [h, w, 3], RGB; at least one.
        captions: One for each image.
        columns: Largest number of images in a row.

    Returns:
        A PNG.
    """
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    with png_figure(2.3 * columns, 2.6 * rows) as (figure, png):
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes in panels:
            axes.axis("off")
        for axes, image, caption in zip(panels, images, captions, strict=False):
            axes.imshow(image, interpolation=_interpolation(image))
            lines = [without_middle(line, MAX_CAPTION_CHARACTERS) for line in caption.split("\n")]
            axes.set_title("\n".join(lines), size=8)
    return png.getvalue()


def image_rows(rows: Mapping[str, Sequence[Image]], titles: Sequence[str] = ()) -> bytes:
    """Draws named rows of images.

    Args:
        rows: Images, uint8 [h, w, 3], RGB, by the name of their row; all rows have the same length.
        titles: Titles of the columns; none if empty.

    Returns:
        A PNG.
    """
    columns = len(next(iter(rows.values())))
    with png_figure(1.1 * columns + 1.6, 1.1 * len(rows) + 0.4) as (figure, png):
        panels = figure.subplots(len(rows), columns, squeeze=False)
        for row, (name, images) in zip(panels, rows.items(), strict=True):
            for axes, image in zip(row, images, strict=True):
                axes.imshow(image, interpolation=_interpolation(image))
                axes.set(xticks=[], yticks=[])
                axes.spines[:].set_visible(False)
            row[0].set_ylabel(name.replace("_", "\n", 1), rotation=0, ha="right", va="center", size=9)
        for axes, title in zip(panels[0], titles, strict=bool(titles)):
            axes.set_title(title, size=9)
    return png.getvalue()


def image_columns(columns: Mapping[str, Sequence[Image]]) -> bytes:
    """Draws named columns of images, such as one for each augmentation.

    Args:
        columns: Images, uint8 [h, w, 3], RGB, by the name of their column; all columns have the same length.

    Returns:
        A PNG.
    """
    rows = len(next(iter(columns.values())))
    with png_figure(1.25 * len(columns), 1.25 * rows + 0.6) as (figure, png):
        panels = figure.subplots(rows, len(columns), squeeze=False)
        for column, (name, images) in enumerate(columns.items()):
            for row, image in enumerate(images):
                axes = panels[row, column]
                axes.imshow(image, interpolation=_interpolation(image))
                axes.axis("off")
            panels[0, column].set_title(name.replace(" (", "\n(").replace(" and ", "\nand "), size=8)
    return png.getvalue()


def _interpolation(image: Image) -> Literal["nearest", "antialiased"]:
    return "nearest" if image.shape[0] < MIN_SMOOTH_PIXELS else "antialiased"
