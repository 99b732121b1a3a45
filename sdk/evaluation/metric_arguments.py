"""Checks the arrays that metrics are computed from; numpy would stretch them, or take -1 for the last class."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from allweather.runtimes.errors import UsageError

ROUNDING = 1e-5  # by which probabilities of half precision may exceed 1


def check_logits(logits: object) -> None:
    """Checks that logits are numbers [n, C].

    Raises:
        UsageError: They are something else.
    """
    if not isinstance(logits, np.ndarray) or logits.dtype.kind not in "fiu" or logits.ndim != 2 or not logits.shape[1]:
        raise UsageError(f"logits are numbers [n, C] in a numpy array, a row for each image; got {_came(logits)}")


def check_indices(name: str, indices: object, like: npt.NDArray[np.generic], num_classes: int | None = None) -> None:
    """Checks that an array has the index of a class for each image.

    Args:
        name: What the array is called in the message.
        indices: The array.
        like: Another array, with a row for each image.
        num_classes: Number of classes C; None if it is not known.

    Raises:
        UsageError: It is something else; the message says what.
    """
    count = len(like)
    if not isinstance(indices, np.ndarray) or indices.dtype.kind not in "iu" or indices.shape != (count,):
        raise UsageError(f"{name} are whole numbers [{count}] in a numpy array, one an image; got {_came(indices)}")
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
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "fiu" or values.ndim != dimensions.count(",") + 1:
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
    came = values.shape if isinstance(values, np.ndarray) and values.dtype == bool else ()
    if len(came) != len(shape) or any(want not in (-1, got) for want, got in zip(shape, came, strict=True)):
        wanted = ", ".join("n" if size < 0 else str(size) for size in shape)
        raise UsageError(f"{name} are True and False [{wanted}] in a numpy array; got {_came(values)}")


def _came(value: object) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {list(value.shape)}"
    return f"{type(value).__name__} {value!r:.40}"
