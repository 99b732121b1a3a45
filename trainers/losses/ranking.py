"""Losses that teach an order: which view of a picture a classifier will do best on. All are means over the pictures.

`predicted` and `true` are float [n, V], one column a view; of `predicted` only differences count.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from torch import Tensor
from torch.nn import functional

from allweather.trainers.losses.soft_ranks import correlation, ranks, soft_ranks
from allweather.trainers.losses.sorter import sorter

WORST = 5.0  # nats; beyond it a view is lost, however far


def spearman(predicted: Tensor, true: Tensor) -> Tensor:
    """One less the rank correlation, with soft ranks of what is predicted."""
    return (1 - correlation(soft_ranks(predicted), ranks(true))).mean()


def relative(predicted: Tensor, true: Tensor) -> Tensor:
    """Divergence of relative losses: both through a softmax over the views (Kim et al. 2020, 3.4)."""
    target = functional.log_softmax(true.clamp(max=WORST), 1)
    return functional.kl_div(functional.log_softmax(predicted, 1), target, reduction="batchmean", log_target=True)


def regret(predicted: Tensor, true: Tensor) -> Tensor:
    """Expected loss above that of the best view, where views are picked by a softmax of the predictions."""
    worse = true.clamp(max=WORST)
    worse = worse - worse.amin(1, keepdim=True)
    return (functional.softmax(-predicted, 1) * worse).sum(1).mean()


def sodeep(predicted: Tensor, true: Tensor) -> Tensor:
    """Mean squared distance of ranks, by a network that was trained to rank (Kim et al. 2020, 3.4)."""
    network = sorter().to(predicted.device)
    return functional.mse_loss(network(predicted), ranks(true)) / predicted.shape[1]


def squared(predicted: Tensor, true: Tensor) -> Tensor:
    """Mean squared error of the loss beside the picture's mean; what is learned is the loss that is to be expected.

    The view of the lowest expected loss is the best pick there is, and unlike `regret` the gradient does not fade where
    a wrong pick has become a habit.
    """
    wanted = true.clamp(max=WORST)
    wanted = wanted - wanted.mean(1, keepdim=True)
    return functional.mse_loss(predicted - predicted.mean(1, keepdim=True), wanted)


RankLoss = Callable[[Tensor, Tensor], Tensor]
RANK_LOSSES: Mapping[str, RankLoss] = MappingProxyType(
    {"squared": squared, "regret": regret, "spearman": spearman, "sodeep": sodeep, "relative": relative}
)
