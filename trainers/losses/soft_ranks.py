"""Ranks and rank correlation of rows, float [n, V] each; exact, and soft ones that carry gradients."""

from __future__ import annotations

import torch
from torch import Tensor

TEMPERATURE = 0.1  # of soft ranks, in deviations of a picture's predictions


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
