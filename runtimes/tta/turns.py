"""Views that take turns over the frames of an object.

What one view of an object is misread as, it is in the neighboring frames as well; other views are misread as something
else, or not at all. Where the decisions on an object are combined over its frames, each frame therefore gets another.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from allweather.runtimes.errors import UsageError

Indices: TypeAlias = npt.NDArray[np.int64]

TURNS = 4  # views that take turns; chosen on the drive, see docs/results/temporal-smoothing.md


def in_turn(ranking: Indices, done: Indices) -> Indices:
    """Returns the view whose turn it is on each frame: of the four best, beginning with the best.

    Args:
        ranking: int [frames, V], indices of all views, the most promising first.
        done: int [frames], number of views that were run on earlier frames of the same object.

    Returns:
        int [frames, 1].
    """
    return np.take_along_axis(ranking, done[:, None] % min(TURNS, ranking.shape[1]), 1)


def check_views_before(views_before: Any, count: int | None = None) -> tuple[int, ...]:
    """Returns the numbers of views that were run on earlier frames of some objects.

    Args:
        views_before: One number; or one for each object, or none, if there is a `count`.
        count: Number of objects; None for the one object of a frame.

    Raises:
        UsageError: It is something else; the message says where such numbers come from.
    """
    if count is None:
        if not _is_count(views_before):
            raise UsageError(
                f"views_before is the number of views run on earlier frames of the object; got {views_before!r:.40}: "
                "Smoother.views_before(frame, seen) returns one for each object, so take [0] of it"
            )
        return (int(views_before),)
    is_list = isinstance(views_before, Sequence | np.ndarray)
    if not is_list or not all(map(_is_count, views_before)) or len(views_before) not in (0, count):
        raise UsageError(
            f"views_before has the number of views run on earlier frames for each of the {count} regions; "
            f"got {views_before!r:.40}: Smoother.views_before(frame, seen) returns them"
        )
    return tuple(int(value) for value in views_before)


def _is_count(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and 0 <= int(value) < 2**63
