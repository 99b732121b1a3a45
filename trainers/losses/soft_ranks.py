"""Ranks and rank correlation of the rows of float [n, V]: exact ranks, and soft ranks that carry gradients."""

from __future__ import annotations

import torch
from torch import Tensor

TEMPERATURE = 0.1  # of soft ranks, in standard deviations of a row


def ranks(values: Tensor) -> Tensor:
    """Returns the ranks in ascending order, 1..V along the last axis; equal values share the mean of their ranks."""
    smaller = (values[..., None] > values[..., None, :]).to(torch.float32).sum(-1)
    equal = (values[..., None] == values[..., None, :]).to(torch.float32).sum(-1)
    return smaller + (equal + 1) / 2


def soft_ranks(values: Tensor, temperature: float = TEMPERATURE) -> Tensor:
    """Returns ranks with gradients: every other value adds a sigmoid of the difference (Qin et al. 2010, eq. 11).

    Args:
        values: float [..., V]. Each row is divided by its standard deviation, so its scale does not matter.
        temperature: Width of the sigmoid in standard deviations; towards 0 the soft ranks become the ranks.
    """
    scaled = values / (values.std(-1, keepdim=True).detach() + 1e-6) / temperature
    return 0.5 + torch.sigmoid(scaled[..., None] - scaled[..., None, :]).sum(-1)


def correlation(first: Tensor, second: Tensor) -> Tensor:
    """Returns Pearson's correlation of each row, [n], and 0 for a constant row; for ranks it is Spearman's."""
    first, second = first - first.mean(-1, keepdim=True), second - second.mean(-1, keepdim=True)
    scale = (first.square().sum(-1) * second.square().sum(-1)).clamp(min=1e-12).sqrt()
    return (first * second).sum(-1) / scale
