"""What a finetuning costs on clean images: as little as is allowed, by weights between those before and after; or told.

Wortsman et al. (CVPR 2022) average the weights of a network before and after its finetuning (WiSE-FT): on the way from
one to the other, the accuracy on either kind of images is often above a straight line. Here the share of the finetuned
weights is the largest one that keeps the accuracy on clean validation images.
"""

from __future__ import annotations

import copy
import logging
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from allweather.trainers.data.dataset import LabeledImages
from allweather.trainers.inference.forward import count_correct

if TYPE_CHECKING:
    from lightning_fabric import Fabric

STEPS = 20  # shares that are tried, from 1 down to 0
MIN_DROP = 0.03  # told from here on: more than `robust` costs photographs, which is 0.6 to 2.5 points on CIFAR-10
DEVIATIONS = 2.0  # by which a drop must exceed what chance makes of so many images

log = logging.getLogger(__name__)


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


def warn_of_clean_drop(start: nn.Module, accuracy: float, val: LabeledImages, fabric: Fabric, *, darkens: bool) -> None:
    """Warns if a finetuned classifier is much less accurate on clean validation images than its start.

    Args:
        start: The classifier before finetuning, on the device of `fabric`.
        accuracy: Accuracy of the finetuned one on `val`, 0..1.
        val: Clean validation images that can be read.
        fabric: A launched Fabric; its processes share the work.
        darkens: Whether copies were darkened far, so that classes which differ by brightness look alike.
    """
    before, images = count_correct(start, val, fabric) / len(val), len(val)
    deviation = math.sqrt((before * (1 - before) + accuracy * (1 - accuracy)) / images)
    if before - accuracy < max(MIN_DROP, DEVIATIONS * deviation) or not fabric.is_global_zero:
        return
    cure = "--max-clean-drop 1, in Python max_clean_drop=1, bounds that"
    if darkens:
        cure += "; where classes differ by brightness or color, such as lamps that are on or off, add --strategy ca"
    log.warning(
        "finetuning lowers the accuracy on clean validation images from %.1f to %.1f %%: %s",
        100 * before, 100 * accuracy, cure,
    )  # fmt: skip
