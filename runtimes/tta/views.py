"""Test-time views: the ways a prepared picture can be looked at. Pure functions on uint8 HWC, numpy and cv2 alone.

`VIEWS` are the twelve of Kim et al. 2020 (section 3.2); a view's place in it is its column in what the loss predictor
says. `CLASSIC_VIEWS` are what is averaged without looking: the mirror image and five crops. Color, sharpness and
autocontrast are within one gray level of Pillow's; rotation and zoom are about the center, with mirrored borders.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from types import MappingProxyType

import cv2
import numpy as np
from numpy.typing import NDArray

from allweather.runtimes.errors import UsageError, unknown_name
from allweather.runtimes.types import Image

GRAY = (0.299, 0.587, 0.114)  # weights of red, green and blue in luma (ITU-R 601), as in Pillow
CROP = 7 / 8  # side of a crop beside that of the picture: 224 of 256 pixels
MOST_PARTS = 3  # of a chain; a hostile bundle could ask for millions
THEN = "/"  # "zoom1.2/hflip" is zoomed, then mirrored


@dataclass(frozen=True)
class View:
    """One way to look at a picture.

    Attributes:
        name: as written in bundles and decisions.
        apply: uint8 [h, w, 3] -> uint8 [h, w, 3]; never changes its argument, and may return it.
    """

    name: str
    apply: Callable[[Image], Image]


def color(image: Image, factor: float) -> Image:
    """Mixes with its own gray: 0 is gray, 1 the picture, above is more colorful."""
    mix = factor * np.eye(3) + (1 - factor) * np.array([GRAY] * 3)
    return np.asarray(cv2.transform(image, mix), np.uint8)


def sharpness(image: Image, factor: float) -> Image:
    """Mixes with its own smoothed copy: 0 is smooth, 1 the picture, above is sharper. The outermost pixels stay."""
    out = cv2.addWeighted(image, factor, cv2.filter2D(image, -1, SMOOTH), 1 - factor, 0)
    out[0], out[-1], out[:, 0], out[:, -1] = image[0], image[-1], image[:, 0], image[:, -1]
    return np.asarray(out, np.uint8)


SMOOTH = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]], np.float32) / 13


def autocontrast(image: Image) -> Image:
    """Stretches each color to the whole range of 0..255."""
    low = cv2.reduce(image, 0, cv2.REDUCE_MIN).min(axis=(0, 1)).astype(np.float64)
    high = cv2.reduce(image, 0, cv2.REDUCE_MAX).max(axis=(0, 1)).astype(np.float64)
    if np.array_equal(low, (0, 0, 0)) and np.array_equal(high, (255, 255, 255)):
        return image
    flat = high <= low
    scale = np.where(flat, 1.0, 255 / np.where(flat, 1.0, high - low))
    table = np.arange(256.0)[:, None] * scale - np.where(flat, 0.0, low * scale)
    return np.asarray(cv2.LUT(image, table.clip(0, 255).astype(np.uint8)[None]), np.uint8)


def rotated(image: Image, degrees: float) -> Image:
    """Turned counter-clockwise about the center."""
    return _warped(image, degrees, 1.0)


def zoomed(image: Image, factor: float) -> Image:
    """Magnified about the center; below 1 the mirrored surroundings come in."""
    return _warped(image, 0.0, factor)


def _warped(image: Image, degrees: float, factor: float) -> Image:
    height, width = image.shape[:2]
    matrix = _about_centre(height, width, degrees, factor)
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(
        cv2.warpAffine(image, matrix, (width, height), flags=how, borderMode=cv2.BORDER_REFLECT), np.uint8
    )


@lru_cache(maxsize=64)
def _about_centre(height: int, width: int, degrees: float, factor: float) -> NDArray[np.float64]:
    """Where each pixel comes from; pixel centers lie at whole numbers."""
    cosine, sine = math.cos(math.radians(degrees)) / factor, math.sin(math.radians(degrees)) / factor
    x, y = (width - 1) / 2, (height - 1) / 2
    return np.array([[cosine, -sine, x - cosine * x + sine * y], [sine, cosine, y - sine * x - cosine * y]])


def hflip(image: Image) -> Image:
    """Left and right exchanged."""
    return np.asarray(cv2.flip(image, 1), np.uint8)


def cropped(image: Image, across: float, down: float) -> Image:
    """7/8 of each side at the given place (0 is left or top, 1 right or bottom), brought back to the full size."""
    height, width = image.shape[:2]
    tall, wide = max(1, round(CROP * height)), max(1, round(CROP * width))
    top, left = round(down * (height - tall)), round(across * (width - wide))
    part = image[top : top + tall, left : left + wide]
    return np.asarray(cv2.resize(part, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def _by_name(views: tuple[View, ...]) -> Mapping[str, View]:
    return MappingProxyType({view.name: view for view in views})


IDENTITY = View("identity", lambda image: image)
VIEWS: Mapping[str, View] = _by_name(
    (
        IDENTITY,
        View("rotate-20", partial(rotated, degrees=-20)),
        View("rotate+20", partial(rotated, degrees=20)),
        View("zoom0.8", partial(zoomed, factor=0.8)),
        View("zoom1.2", partial(zoomed, factor=1.2)),
        View("autocontrast", autocontrast),
        View("sharpness0.2", partial(sharpness, factor=0.2)),
        View("sharpness0.5", partial(sharpness, factor=0.5)),
        View("sharpness3", partial(sharpness, factor=3.0)),
        View("sharpness4", partial(sharpness, factor=4.0)),
        View("color0.5", partial(color, factor=0.5)),
        View("color2", partial(color, factor=2.0)),
    )
)
CLASSIC_VIEWS: Mapping[str, View] = _by_name(
    (
        View("hflip", hflip),
        View("crop-center", partial(cropped, across=0.5, down=0.5)),
        View("crop-top-left", partial(cropped, across=0.0, down=0.0)),
        View("crop-top-right", partial(cropped, across=1.0, down=0.0)),
        View("crop-bottom-left", partial(cropped, across=0.0, down=1.0)),
        View("crop-bottom-right", partial(cropped, across=1.0, down=1.0)),
    )
)


@lru_cache(maxsize=256)
def view(name: str) -> View:
    """The view of that name; names joined by "/" are applied one after the other.

    Raises:
        UsageError: there is none; the nearest is named.
    """
    known = {**VIEWS, **CLASSIC_VIEWS}
    parts = []
    if name.count(THEN) >= MOST_PARTS:
        raise UsageError(f"at most {MOST_PARTS} views go one after the other; {name[:40]!r} has more")
    for part in name.split(THEN):
        if part not in known:
            raise unknown_name("view", part, known)
        parts.append(known[part])
    return parts[0] if len(parts) == 1 else View(name, partial(_chained, parts=tuple(parts)))


def _chained(image: Image, parts: tuple[View, ...]) -> Image:
    for part in parts:
        image = part.apply(image)
    return image
