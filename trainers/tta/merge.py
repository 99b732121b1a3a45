"""How the outputs of several views of an image become one result: what is averaged, and the merge modes of ttach."""

from __future__ import annotations

from typing import Literal, get_args

from torch import Tensor

from allweather.runtimes.tta.policy import Averaged

MergeMode = Literal["mean", "gmean", "sum", "max", "min", "tsharpen"]
MERGE_MODES: tuple[MergeMode, ...] = get_args(MergeMode)
UNWEIGHTED = ("max", "min")  # modes in which the weight of a view has no meaning
LOWEST = -1e30  # log-probability of a class that a view excludes: finite, so that a weight of 0 leaves nothing of it
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


def view_scores(logits: Tensor, averages: Averaged) -> Tensor:
    """Returns what a policy averages over the views, as `allweather.runtimes.tta.aggregate.scores` does on the device.

    Args:
        logits: float [..., C].
        averages: "probabilities" or "logits"; see `Policy`.

    Returns:
        float32 [..., C]: the softmax of the logits; or the logits less a number for each row, which the softmax of
        their mean does not depend on.
    """
    if averages == "probabilities":
        return logits.float().softmax(-1)
    return logits.float().log_softmax(-1).clamp(min=LOWEST)


def from_mean(mean: Tensor, averages: Averaged) -> Tensor:
    """Returns the probabilities, float [..., C], that the mean of the views' scores stands for."""
    return mean if averages == "probabilities" else mean.softmax(-1)
