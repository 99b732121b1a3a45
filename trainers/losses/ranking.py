"""Losses that train the loss predictor: which view of an image will give a classifier the lowest loss.

Every loss takes `predicted` and `true`, float [n, V] with one column for each view, and returns its mean over the
images, a scalar. `true` holds the classifier's cross-entropy in nats. Only the differences within a
row of `predicted` matter. Arguments that are not such tables of one shape raise a UsageError: torch would stretch one
to the other, and return the loss of something else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from torch import Tensor
from torch.nn import functional

from allweather.runtimes.errors import UsageError
from allweather.trainers.image_tensors import check_floats
from allweather.trainers.losses.soft_ranks import correlation, ranks, soft_ranks
from allweather.trainers.losses.sorter import shared_sorter

MAX_LOSS = 5.0  # nats; a view with a higher loss is useless, and how much higher makes no difference


def spearman_loss(predicted: Tensor, true: Tensor) -> Tensor:
    """Returns one minus Spearman's rank correlation, with soft ranks of the predictions."""
    _check_tables(predicted, true)
    return (1 - correlation(soft_ranks(predicted), ranks(true))).mean()


def relative_loss(predicted: Tensor, true: Tensor) -> Tensor:
    """Returns the KL divergence of relative losses, in nats: softmax over the views of both (Kim et al. 2020, 3.4)."""
    _check_tables(predicted, true)
    target = functional.log_softmax(true.clamp(max=MAX_LOSS), 1)
    return functional.kl_div(functional.log_softmax(predicted, 1), target, reduction="batchmean", log_target=True)


def regret_loss(predicted: Tensor, true: Tensor) -> Tensor:
    """Returns the expected excess over the loss of the best view, if a softmax of -predicted draws the view."""
    _check_tables(predicted, true)
    excess = true.clamp(max=MAX_LOSS)
    excess = excess - excess.amin(1, keepdim=True)
    return (functional.softmax(-predicted, 1) * excess).sum(1).mean()


def sodeep_loss(predicted: Tensor, true: Tensor) -> Tensor:
    """Returns the mean squared error of ranks, from a network that was trained to rank (Kim et al. 2020, 3.4)."""
    _check_tables(predicted, true)
    sorter = shared_sorter().to(predicted.device)
    return functional.mse_loss(sorter(predicted.float()), ranks(true)) / predicted.shape[1]


def squared_loss(predicted: Tensor, true: Tensor) -> Tensor:
    """Returns the mean squared error after the mean of each row is subtracted, so the expected loss is learned.

    The view with the lowest expected loss is the best choice. Unlike in `regret_loss`, the gradient does not vanish
    where the predictor is certain of an incorrect choice.
    """
    _check_tables(predicted, true)
    target = true.clamp(max=MAX_LOSS)
    target = target - target.mean(1, keepdim=True)
    return functional.mse_loss(predicted - predicted.mean(1, keepdim=True), target)


def _check_tables(predicted: Tensor, true: Tensor) -> None:
    for each in (predicted, true):
        check_floats("predicted and true losses", each)
    if predicted.shape != true.shape or true.dim() != 2 or not len(true) or true.shape[1] < 2:
        raise UsageError(
            "predicted and true losses are two tables of one shape, [n, V], a column for each of two or more views; "
            f"got {list(predicted.shape)} and {list(true.shape)}"
        )


RankLoss = Callable[[Tensor, Tensor], Tensor]
RANK_LOSSES: Mapping[str, RankLoss] = MappingProxyType(
    {
        "squared": squared_loss,
        "regret": regret_loss,
        "spearman": spearman_loss,
        "sodeep": sodeep_loss,
        "relative": relative_loss,
    }
)
"""The losses by the names that `train-predictor --loss` and `PredictorSettings.loss` take."""
