"""Forward passes without gradients: logits in batches, and results gathered from several processes."""

from __future__ import annotations

from typing import Literal

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from allweather.trainers.data.batches import to_float
from allweather.trainers.data.dataset import Split

BATCH = 250  # of forward passes without gradients; larger ones leave the CPU's cache


@torch.no_grad()
def logits(model: nn.Module, images: Tensor) -> Tensor:
    """Runs a classifier over pictures.

    Args:
        model: float [n, 3, h, w] in 0..1 -> float [n, C]; put into eval mode.
        images: uint8 [n, h, w, 3], on the model's device.

    Returns:
        float32 [n, C].
    """
    model.eval()
    return torch.cat([model(to_float(part)).float() for part in torch.split(images, BATCH)])


def count_correct(model: nn.Module, split: Split, fabric: Fabric) -> int:
    """Pictures of `split` that are put into their class; the processes of `fabric` share the work."""
    mine = slice(fabric.global_rank, None, fabric.world_size)
    images, labels = split.images[mine], split.labels[mine]
    right = (logits(model, images).argmax(1) == labels).sum()
    return int(all_reduced(fabric, right.float(), "sum"))


def all_reduced(fabric: Fabric, value: Tensor, how: Literal["sum", "mean"]) -> Tensor:
    """The sum or mean of `value` over the processes of `fabric`."""
    reduced = fabric.all_reduce(value, reduce_op=how)
    assert isinstance(reduced, Tensor)  # Fabric gives back the kind it was given
    return reduced
