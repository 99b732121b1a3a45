"""Views that take turns over the frames of an object.

What one view of an object is misread as, it is in the neighboring frames as well; other views are misread as something
else, or not at all. Where the decisions on an object are combined over its frames, each frame therefore gets another.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

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
