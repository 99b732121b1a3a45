"""Losses that compare the answers to a clean picture and to a distorted copy of it. All are means over the pairs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from allweather.runtimes.errors import UsageError
from allweather.trainers.choices import Metric as Metric

DEAD = 1e-6  # a feature map of a smaller mean is taken for dead


def kl_divergence(clean: Tensor, augmented: Tensor) -> Tensor:
    """Kullback-Leibler divergence of the distorted answers from the clean ones, in nats; gradients reach both.

    The stability loss of Zheng et al. 2016 (arXiv:1604.04326, eq. 6) up to the entropy of the clean answers.

    Args:
        clean: float [n, C] logits.
        distorted: float [n, C] logits.
    """
    target, answer = functional.log_softmax(clean.float(), 1), functional.log_softmax(augmented.float(), 1)
    return functional.kl_div(answer, target, reduction="batchmean", log_target=True)


def stability_loss(clean: Tensor, augmented: Tensor) -> Tensor:
    """Stability."""
    return kl_divergence(clean, augmented)


def ai_loss(one: Tensor, other: Tensor, metric: Metric) -> Tensor:
    """How unlike two answers are (Chen et al., ICCVW 2019, eq. 1, and section 4.2.1); the same in both directions.

    Args:
        one: float [n, ...], logits or whatever a layer puts out.
        other: the same shape.
        metric: "kl": symmetric Kullback-Leibler divergence of their softmax over all entries, in nats; "euclidean": the
            distance; "both": the sum.
    """
    one, other = one.flatten(1).float(), other.flatten(1).float()
    terms = []
    if metric != "euclidean":
        terms.append(kl_divergence(one, other) + kl_divergence(other, one))
    if metric != "kl":
        terms.append(torch.linalg.vector_norm(one - other, dim=1).mean())
    return torch.stack(terms).sum()


def feature_map_loss(maps: Sequence[Tensor]) -> Tensor:
    """FMA loss (Kapoor et al., eq. 6): how far feature maps move, relative to their mean, over all layers.

    A dead map, of a mean below 1e-6, has no scale to be relative to and counts as 0.

    Args:
        maps: of each layer, float [2 n, ...], all >= 0: those of n clean pictures, then of their distorted copies.

    Raises:
        UsageError: there are none.
    """
    if not maps:
        raise UsageError("the classifier has no ReLU to tap: the feature-map loss needs one; use method st instead")
    terms: list[Tensor] = [_RelativeDistance.apply(each) for each in maps]  # type: ignore[no-untyped-call]
    return torch.stack(terms).mean()


class _RelativeDistance(torch.autograd.Function):
    """One term of eq. 6: |f(x) - f(x~)|^2 / (entries * mean(f(x))^2), the mean over pictures.

    The differences are bound by memory, not by arithmetic. So nothing is kept for the backward pass but the maps, which
    the network keeps anyway, and gradients of both halves are written once, in place.
    """

    @staticmethod
    def forward(ctx: Any, maps: Tensor) -> Tensor:
        clean, augmented = _rows(maps).chunk(2)
        exact = torch.promote_types(maps.dtype, torch.float32)
        mean = clean.mean(1, dtype=exact)
        distance = torch.linalg.vector_norm(clean - augmented, dim=1, dtype=exact).square_() / clean.shape[1]
        scale = torch.where(mean > DEAD, 1 / mean.clamp(min=DEAD), 0.0)
        ctx.save_for_backward(maps, distance, scale)
        loss: Tensor = (distance * scale**2).mean()
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        maps, distance, scale = ctx.saved_tensors
        if not maps.is_contiguous(memory_format=torch.channels_last):
            maps = maps.contiguous()  # else rows are a copy, as after a permute, and what is written to them is lost
        clean, augmented = _rows(maps).chunk(2)
        share = 2 * gradient / clean.numel()  # of one entry of one picture, twice: both terms come from squares
        out = torch.empty_like(maps)
        to_clean, to_distorted = _rows(out).chunk(2)
        torch.sub(augmented, clean, out=to_distorted)
        to_distorted *= (share * scale**2)[:, None].to(maps.dtype)
        through_mean = (share * distance * scale**3)[:, None].to(maps.dtype)
        torch.add(to_distorted, through_mean, out=to_clean).neg_()
        return out


def _rows(maps: Tensor) -> Tensor:
    """The entries of each picture in a row, [n, entries], without a copy, in whatever order they lie in memory."""
    if maps.dim() == 4 and maps.is_contiguous(memory_format=torch.channels_last):
        maps = maps.permute(0, 2, 3, 1)
    return maps.reshape(len(maps), -1)
