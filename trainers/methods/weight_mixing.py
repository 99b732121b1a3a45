"""Weights between those before and after a finetuning, so that clean images lose no more accuracy than allowed.

Wortsman et al. (CVPR 2022) average the weights of a network before and after its finetuning (WiSE-FT): on the way from
one to the other, the accuracy on either kind of images is often above a straight line. Here the share of the finetuned
weights is the largest one that keeps the accuracy on clean validation images.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from allweather.trainers.data.dataset import LabeledImages
from allweather.trainers.inference.forward import count_correct

if TYPE_CHECKING:
    from lightning_fabric import Fabric

STEPS = 20  # shares that are tried, from 1 down to 0


@dataclass(frozen=True)
class MixedWeights:
    """A network between two others.

    Attributes:
        model: The network, in eval mode.
        share: Share of the finetuned weights, 0..1; 1 means that these alone lose little enough.
    """

    model: nn.Module
    share: float


@torch.no_grad()
def mix_weights(start: nn.Module, finetuned: nn.Module, share: float) -> nn.Module:
    """Returns a copy of a finetuned network with part of the weights and BatchNorm statistics of its start.

    Args:
        start: The network before finetuning.
        finetuned: The same network after it.
        share: Share of the finetuned weights, 0..1.
    """
    mixed = copy.deepcopy(finetuned).eval()
    before, after = start.state_dict(), finetuned.state_dict()
    mixed.load_state_dict({name: _between(before[name], value, share) for name, value in after.items()})
    return mixed


def _between(before: object, after: object, share: float) -> object:
    """Returns a value of a state dict; of what is no number with a fraction there is nothing between both."""
    if isinstance(before, Tensor) and isinstance(after, Tensor) and (after.is_floating_point() or after.is_complex()):
        return torch.lerp(before.to(after), after, share)
    return after if share else before


def mix_within(
    start: nn.Module, finetuned: nn.Module, val: LabeledImages, max_drop: float, fabric: Fabric
) -> MixedWeights:
    """Mixes in as much of the finetuned weights as the accuracy on clean images allows.

    Args:
        start: The classifier before finetuning, on the device of `fabric`.
        finetuned: The classifier after it, likewise.
        val: Clean validation images that can be read; best of all ones that `start` was not trained on, because it
            remembers others, and finetuning seems to cost more on them than it does.
        max_drop: How much of the accuracy, 0..1, may be lost.
        fabric: A launched Fabric; its processes share the work.
    """
    least = count_correct(start, val, fabric) - max_drop * len(val)
    for step in range(STEPS, 0, -1):
        mixed = mix_weights(start, finetuned, step / STEPS)
        if count_correct(mixed, val, fabric) >= least:
            return MixedWeights(mixed, step / STEPS)
    return MixedWeights(mix_weights(start, finetuned, 0.0), 0.0)
