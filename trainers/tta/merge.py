"""How the probabilities of several views of an image become one result: the merge modes of ttach, by name."""

from __future__ import annotations

from typing import Literal, get_args

from torch import Tensor

MergeMode = Literal["mean", "gmean", "sum", "max", "min", "tsharpen"]
MERGE_MODES: tuple[MergeMode, ...] = get_args(MergeMode)
UNWEIGHTED = ("max", "min")  # modes in which the weight of a view has no meaning
SMALLEST = 1e-30  # of a probability in a geometric mean: a class that one view rules out stays comparable


def merge(probabilities: Tensor, rows: Tensor, weights: Tensor, count: int, mode: MergeMode) -> Tensor:
    """Merges the probabilities of the views of each image.

    Args:
        probabilities: float [m, C], one row for each view that was run.
        rows: int64 [m], index of the image of each view, 0..count-1; every image has a view.
        weights: float [m], weight of each view, at least 0 and not all 0 for an image; "max" and "min" ignore them.
        count: Number of images, n.
        mode: "mean": weighted mean. "gmean": weighted geometric mean. "sum": weighted sum. "max", "min": largest and
            smallest of each class. "tsharpen": weighted mean of the square roots.

    Returns:
        float [n, C]. Only the rows of "mean" sum to 1.
    """
    empty = probabilities.new_zeros(count, probabilities.shape[1])
    if mode in UNWEIGHTED:
        into = rows[:, None].expand_as(probabilities)
        return empty.scatter_reduce(0, into, probabilities, f"a{mode}", include_self=False)
    if mode == "gmean":
        probabilities = probabilities.clamp(min=SMALLEST).log()
    elif mode == "tsharpen":
        probabilities = probabilities.sqrt()
    total = empty.index_add(0, rows, weights[:, None] * probabilities)
    if mode == "sum":
        return total
    mean = total / weights.new_zeros(count).index_add(0, rows, weights)[:, None]
    return mean.exp() if mode == "gmean" else mean
