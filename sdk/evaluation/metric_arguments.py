"""Checks the arrays that metrics are computed from; numpy would stretch them, or take -1 for the last class."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeGuard

import numpy as np
import numpy.typing as npt

from allweather.runtimes.errors import UsageError
from allweather.runtimes.setting_types import check_instance, is_number

ROUNDING = 1e-5  # by which probabilities of half precision may exceed 1


def _is_plain(values: object) -> TypeGuard[npt.NDArray[Any]]:
    """Returns whether it is an array of numpy itself: masks would be passed over, and a matrix computes otherwise."""
    return isinstance(values, np.ndarray) and not isinstance(values, np.ma.MaskedArray | np.matrix)


def check_logits(logits: object) -> None:
    """Checks that logits are numbers [n, C].

    Raises:
        UsageError: They are something else.
    """
    if not _is_plain(logits) or logits.dtype.kind not in "fiu" or logits.ndim != 2 or not logits.shape[1]:
        raise UsageError(f"logits are numbers [n, C] in a numpy array, a row for each image; got {_came(logits)}")


def check_indices(name: str, indices: object, like: object, num_classes: int | None = None) -> None:
    """Checks that an array has the index of a class for each image.

    Args:
        name: What the array is called in the message.
        indices: The array.
        like: Another array, with a row for each image; the array itself if there is none.
        num_classes: Number of classes C; None if it is not known.

    Raises:
        UsageError: It is something else; the message says what.
    """
    count = len(like) if isinstance(like, np.ndarray) and like.ndim else 0
    if not _is_plain(indices) or indices.dtype.kind not in "iu" or indices.shape != (count,):
        size = "n" if like is indices else count
        raise UsageError(f"{name} are whole numbers [{size}] in a numpy array, one an image; got {_came(indices)}")
    lowest, highest = (int(indices.min()), int(indices.max())) if count else (0, 0)
    if lowest < 0 or (num_classes is not None and count and highest >= num_classes):
        among = f"0 to {num_classes - 1}" if num_classes is not None else "from 0 on"
        raise UsageError(f"{name} are indices of classes, {among}; got {lowest if lowest < 0 else highest}")


def check_floats(name: str, values: object, dimensions: str) -> None:
    """Checks that an array of floats has as many dimensions as are named.

    Args:
        name: What the array is called in the message.
        values: The array.
        dimensions: Such as "m, cells".

    Raises:
        UsageError: It is something else.
    """
    if not _is_plain(values) or values.dtype.kind not in "fiu" or values.ndim != dimensions.count(",") + 1:
        raise UsageError(f"{name} are numbers [{dimensions}] in a numpy array; got {_came(values)}")


def check_shares(name: str, values: object) -> None:
    """Checks that an array has a share for each image, 0 to 1.

    Raises:
        UsageError: It is something else.
    """
    check_floats(name, values, "n")
    assert isinstance(values, np.ndarray)
    if not ((values >= 0) & (values <= 1 + ROUNDING)).all():
        raise UsageError(f"{name} are 0 to 1; got {values[~((values >= 0) & (values <= 1 + ROUNDING))][0]:g}")


def check_bools(name: str, values: object, shape: tuple[int, ...]) -> None:
    """Checks that an array is of True and False, and has a shape.

    Args:
        name: What the array is called in the message.
        values: The array.
        shape: The shape; -1 for any number.

    Raises:
        UsageError: It is something else.
    """
    came = values.shape if _is_plain(values) and values.dtype == bool else ()
    if len(came) != len(shape) or any(want not in (-1, got) for want, got in zip(shape, came, strict=True)):
        wanted = ", ".join("n" if size < 0 else str(size) for size in shape)
        raise UsageError(f"{name} are True and False [{wanted}] in a numpy array; got {_came(values)}")


def check_errors(name: str, errors: object) -> None:
    """Checks that errors are numbers from 0 on 0 to 1 by the names of corruptions.

    Args:
        name: What they are called in the message.
        errors: The errors.

    Raises:
        UsageError: They are something else.
    """
    check_instance(name, errors, Mapping, 'it has the error of each corruption by name, as in {"fog": 0.2}')
    assert isinstance(errors, Mapping)
    wrong = [key for key, error in errors.items() if not is_number(error) or not 0 <= error <= 1]
    if wrong:
        names = ", ".join(map(str, wrong))
        raise UsageError(f"errors are shares, 0 to 1; got {errors[wrong[0]]!r:.40} for {names}: divide percent by 100")


def check_bins(bins: object) -> None:
    """Checks that bins are as `reliability_bins` returns them.

    Raises:
        UsageError: They are something else.
    """
    is_bin = [
        isinstance(each, list | tuple)
        and len(each) == 3
        and all(is_number(number) and 0 <= number < math.inf for number in each)
        for each in (bins if isinstance(bins, list | tuple) else (None,))
    ]
    if not all(is_bin):
        raise UsageError(
            f"bins are (number of images, mean confidence, accuracy) of each, as reliability_bins returns; "
            f"got {bins!r:.40}"
        )


def _came(value: object) -> str:
    if isinstance(value, np.ma.MaskedArray | np.matrix):
        return f"{type(value).__name__} {list(value.shape)}"
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {list(value.shape)}"
    return f"{type(value).__name__} {value!r:.40}"
