"""Losses that teach an order: which view of a picture a classifier will do best on. All are means over the pictures.

`predicted` and `true` are float [n, V], one column a view; of `predicted` only differences count.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch import Tensor
from torch.nn import functional

TEMPERATURE = 0.1  # of soft ranks, in deviations of a picture's predictions
WORST = 5.0  # nats; beyond it a view is lost, however far


def ranks(values: Tensor) -> Tensor:
    """Places in rising order, 1..V along the last axis; ties share the mean of their places."""
    below = (values[..., None] > values[..., None, :]).to(torch.float32).sum(-1)
    same = (values[..., None] == values[..., None, :]).to(torch.float32).sum(-1)
    return below + (same + 1) / 2


def soft_ranks(values: Tensor, temperature: float = TEMPERATURE) -> Tensor:
    """Ranks with gradients: each other value below counts by a sigmoid of the difference (Qin et al. 2010, eq. 11).

    Values are measured in their own deviation, so that no scale is better than another.
    """
    scaled = values / (values.std(-1, keepdim=True).detach() + 1e-6) / temperature
    return 0.5 + torch.sigmoid(scaled[..., None] - scaled[..., None, :]).sum(-1)


def correlation(first: Tensor, second: Tensor) -> Tensor:
    """Pearson's, of each row, [n]; of ranks it is Spearman's. 0 where a row is constant."""
    first, second = first - first.mean(-1, keepdim=True), second - second.mean(-1, keepdim=True)
    scale = (first.square().sum(-1) * second.square().sum(-1)).clamp(min=1e-12).sqrt()
    return (first * second).sum(-1) / scale


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


RankLoss = Callable[[Tensor, Tensor], Tensor]
RANK_LOSSES: Mapping[str, RankLoss] = MappingProxyType({"spearman": spearman, "relative": relative, "regret": regret})
