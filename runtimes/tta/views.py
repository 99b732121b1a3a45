"""The views of test-time augmentation: pure functions of a prepared uint8 HWC image, in numpy and cv2 alone.

`VIEWS` are the twelve views of Kim et al. 2020 (section 3.2); a loss predictor that allweather trains predicts the
loss on each of them, in their order. `FURTHER_VIEWS` undo what noise, blur and darkness do to an image.
`CLASSIC_VIEWS` are the views of classic test-time augmentation: the horizontal flip and five crops. `register_view`
adds your own view. Color, sharpness and autocontrast are within one gray level of Pillow's; rotation and zoom are about
the center, with reflected borders.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from types import MappingProxyType

import cv2
import numpy as np
from numpy.typing import NDArray

from allweather.runtimes.errors import UsageError, unknown_name
from allweather.runtimes.preprocess import LUMA_WEIGHTS
from allweather.runtimes.types import Image

CROP_SHARE = 7 / 8  # side of a crop, as a share of the image's side: 224 of 256 pixels
CHAIN = "/"  # joins names: "zoom1.2/hflip" zooms first, then flips
MAX_CHAINED_VIEWS = 3  # a hostile bundle could ask for millions
MAX_REGISTERED_VIEWS = 64
NAME_PATTERN = re.compile(r"[A-Za-z0-9.+-]{1,64}")  # none of the characters that separate names in policies: / , : @


@dataclass(frozen=True)
class View:
    """One view of an image.

    Attributes:
        name: Name in policies, bundles and decisions.
        apply: Function from uint8 [h, w, 3] RGB to the same shape and dtype. It must not change its argument, and may
            return it.
    """

    name: str
    apply: Callable[[Image], Image]


def color(image: Image, factor: float) -> Image:
    """Blends the image with its grayscale copy: 0 gives gray, 1 the image, more than 1 stronger colors."""
    mix = factor * np.eye(3) + (1 - factor) * np.array([LUMA_WEIGHTS] * 3)
    return np.asarray(cv2.transform(image, mix), np.uint8)


def sharpness(image: Image, factor: float) -> Image:
    """Blends the image with its smoothed copy: 0 gives the smoothed copy, 1 the image, more than 1 a sharper image.

    The outermost pixels stay as they are.
    """
    out = cv2.addWeighted(image, factor, cv2.filter2D(image, -1, SMOOTH), 1 - factor, 0)
    out[0], out[-1], out[:, 0], out[:, -1] = image[0], image[-1], image[:, 0], image[:, -1]
    return np.asarray(out, np.uint8)


SMOOTH = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]], np.float32) / 13


def autocontrast(image: Image) -> Image:
    """Stretches each channel to the full range of 0..255."""
    low = cv2.reduce(image, 0, cv2.REDUCE_MIN).min(axis=(0, 1)).astype(np.float64)
    high = cv2.reduce(image, 0, cv2.REDUCE_MAX).max(axis=(0, 1)).astype(np.float64)
    if np.array_equal(low, (0, 0, 0)) and np.array_equal(high, (255, 255, 255)):
        return image
    flat = high <= low
    scale = np.where(flat, 1.0, 255 / np.where(flat, 1.0, high - low))
    table = np.arange(256.0)[:, None] * scale - np.where(flat, 0.0, low * scale)
    return np.asarray(cv2.LUT(image, table.clip(0, 255).astype(np.uint8)[None]), np.uint8)


def rotate(image: Image, degrees: float) -> Image:
    """Rotates the image counter-clockwise about its center; the border is reflected."""
    return _warp(image, degrees, 1.0)


def zoom(image: Image, factor: float) -> Image:
    """Magnifies the image about its center; with a factor below 1 the reflected border comes into view."""
    return _warp(image, 0.0, factor)


def _warp(image: Image, degrees: float, factor: float) -> Image:
    height, width = image.shape[:2]
    matrix = _inverse_matrix(height, width, degrees, factor)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(
        cv2.warpAffine(image, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REFLECT), np.uint8
    )


@lru_cache(maxsize=64)
def _inverse_matrix(height: int, width: int, degrees: float, factor: float) -> NDArray[np.float64]:
    """Returns the affine map from output to input pixels, float64 [2, 3]; pixel centers lie at integer coordinates."""
    cosine, sine = math.cos(math.radians(degrees)) / factor, math.sin(math.radians(degrees)) / factor
    x, y = (width - 1) / 2, (height - 1) / 2
    return np.array([[cosine, -sine, x - cosine * x + sine * y], [sine, cosine, y - sine * x - cosine * y]])


def denoise(image: Image) -> Image:
    """Replaces each value by the median of the 3 x 3 pixels around it, in each channel; the border is repeated."""
    return np.asarray(cv2.medianBlur(image, 3), np.uint8)


def deblur(image: Image, sigma: float) -> Image:
    """Adds what a Gaussian blur takes away (unsharp masking); the border is repeated.

    Args:
        image: uint8 [h, w, 3].
        sigma: Standard deviation of the blur, in pixels.
    """
    side = deblur_kernel_side(sigma)
    blurred = cv2.GaussianBlur(image, (side, side), sigma, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.addWeighted(image, 2, blurred, -1, 0), np.uint8)


def deblur_kernel_side(sigma: float) -> int:
    """Returns the side of the kernel of `deblur`: three standard deviations to either side of the center."""
    return 2 * math.ceil(3 * sigma) + 1


def gamma(image: Image, exponent: float) -> Image:
    """Raises each value, as a share of the largest, to a power: below 1 the image gets brighter, above 1 darker."""
    return np.asarray(cv2.LUT(image, gamma_table(exponent)), np.uint8)


@lru_cache(maxsize=64)
def gamma_table(exponent: float) -> NDArray[np.uint8]:
    """Returns what `gamma` makes of each gray level, uint8 [256]."""
    return np.rint(255 * (np.arange(256) / 255) ** exponent).astype(np.uint8)


def hflip(image: Image) -> Image:
    """Flips the image horizontally: left and right are exchanged."""
    return np.asarray(cv2.flip(image, 1), np.uint8)


def crop(image: Image, across: float, down: float) -> Image:
    """Crops 7/8 of each side and resizes the crop to the full size.

    Args:
        image: uint8 [h, w, 3].
        across: Position of the crop from left (0) to right (1).
        down: Position of the crop from top (0) to bottom (1).
    """
    height, width = image.shape[:2]
    crop_height, crop_width = max(1, round(CROP_SHARE * height)), max(1, round(CROP_SHARE * width))
    top, left = round(down * (height - crop_height)), round(across * (width - crop_width))
    part = image[top : top + crop_height, left : left + crop_width]
    return np.asarray(cv2.resize(part, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def _by_name(views: tuple[View, ...]) -> Mapping[str, View]:
    return MappingProxyType({view.name: view for view in views})


IDENTITY = View("identity", lambda image: image)
VIEWS: Mapping[str, View] = _by_name(
    (
        IDENTITY,
        View("rotate-20", partial(rotate, degrees=-20)),
        View("rotate+20", partial(rotate, degrees=20)),
        View("zoom0.8", partial(zoom, factor=0.8)),
        View("zoom1.2", partial(zoom, factor=1.2)),
        View("autocontrast", autocontrast),
        View("sharpness0.2", partial(sharpness, factor=0.2)),
        View("sharpness0.5", partial(sharpness, factor=0.5)),
        View("sharpness3", partial(sharpness, factor=3.0)),
        View("sharpness4", partial(sharpness, factor=4.0)),
        View("color0.5", partial(color, factor=0.5)),
        View("color2", partial(color, factor=2.0)),
    )
)
FURTHER_VIEWS: Mapping[str, View] = _by_name(
    (
        View("denoise", denoise),
        View("deblur1", partial(deblur, sigma=1.0)),
        View("deblur2", partial(deblur, sigma=2.0)),
        View("gamma0.5", partial(gamma, exponent=0.5)),
        View("gamma2", partial(gamma, exponent=2.0)),
    )
)
CLASSIC_VIEWS: Mapping[str, View] = _by_name(
    (
        View("hflip", hflip),
        View("crop-center", partial(crop, across=0.5, down=0.5)),
        View("crop-top-left", partial(crop, across=0.0, down=0.0)),
        View("crop-top-right", partial(crop, across=1.0, down=0.0)),
        View("crop-bottom-left", partial(crop, across=0.0, down=1.0)),
        View("crop-bottom-right", partial(crop, across=1.0, down=1.0)),
    )
)
_registered: dict[str, View] = {}


def register_view(view: View) -> None:
    """Adds your own view. Policies such as "set:identity,NAME" and bundles that list it can use it from then on.

    The policies "all" and "random:K", and the loss predictors that allweather trains, use only the built-in views.
    Register the view in every program that runs it, before the bundle is opened.

    Args:
        view: The view. Its name has 1 to 64 letters, digits or characters of `.+-`, and is not taken yet.

    Raises:
        UsageError: The name is malformed or taken, `view` is not a `View` with a function, or 64 views are registered.
    """
    if not isinstance(view, View) or not callable(view.apply):
        raise UsageError(f"register_view takes a View with a name and a function; got {view!r:.200}")
    if not isinstance(view.name, str) or not NAME_PATTERN.fullmatch(view.name):
        raise UsageError(
            f"the name of a view has 1 to 64 letters (a-z, A-Z), digits or characters of '.+-'; got {view.name!r:.200}"
        )
    if view.name in _known_views():
        raise UsageError(f"there is a view called {view.name!r} already; choose another name")
    if len(_registered) >= MAX_REGISTERED_VIEWS:
        raise UsageError(f"at most {MAX_REGISTERED_VIEWS} views can be registered; {view.name!r} would be one more")
    _registered[view.name] = View(view.name, partial(_apply_checked, view=view))


def unregister_view(name: str) -> None:
    """Removes a view that was added with `register_view`; policies that were made before can no longer run it.

    Raises:
        UsageError: No view of that name was registered.
    """
    if name not in _registered:
        raise unknown_name("registered view", name, _registered)
    del _registered[name]
    view.cache_clear()


def _known_views() -> dict[str, View]:
    return {**VIEWS, **FURTHER_VIEWS, **CLASSIC_VIEWS, **_registered}


@lru_cache(maxsize=256)
def view(name: str) -> View:
    """Returns the view of a name. Names joined by "/" are applied one after the other, the first one first.

    Raises:
        UsageError: There is no such view; the message suggests the most similar name.
    """
    known, parts = _known_views(), name.split(CHAIN, MAX_CHAINED_VIEWS)
    if len(parts) > MAX_CHAINED_VIEWS:
        raise UsageError(f"at most {MAX_CHAINED_VIEWS} views can be chained with '{CHAIN}'; {name[:40]!r} has more")
    for part in parts:
        if part not in known:
            unknown = unknown_name("view", part, known)
            raise UsageError(f"{unknown}; one of your own is known after allweather.register_view, in Python alone")
    views = tuple(known[part] for part in parts)
    return views[0] if len(views) == 1 else View(name, partial(_apply_all, views=views))


def _apply_checked(image: Image, view: View) -> Image:
    result = view.apply(image)
    if isinstance(result, np.ndarray) and result.shape == image.shape and result.dtype == np.uint8:
        return result
    came = f"{result.dtype} {list(result.shape)}" if isinstance(result, np.ndarray) else type(result).__name__
    raise UsageError(
        f"the view {view.name} must return an image as the one that it was given, uint8 {list(image.shape)}; got {came}"
    )


def _apply_all(image: Image, views: tuple[View, ...]) -> Image:
    for each in views:
        image = each.apply(image)
    return image
