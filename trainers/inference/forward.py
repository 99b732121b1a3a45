"""Forward passes without gradients: logits in batches, and results summed over several processes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from allweather.trainers.data.batches import to_float
from allweather.trainers.data.dataset import LabeledImages

if TYPE_CHECKING:
    from lightning_fabric import Fabric

BATCH_SIZE = 250  # images per forward pass without gradients; larger batches do not fit in the CPU's cache


@torch.no_grad()
def logits(model: nn.Module, images: Tensor) -> Tensor:
    """Runs a classifier on images, batch by batch.

    Args:
        model: float [n, 3, h, w] in 0..1 -> float [n, C]; put into eval mode.
        images: uint8 [n, h, w, 3], on any device; each batch is brought to the model's.

    Returns:
        float32 [n, C], on the model's device.
    """
    model.eval()
    device = next(model.parameters(), images).device
    return torch.cat([model(to_float(part.to(device))).float() for part in torch.split(images, BATCH_SIZE)])


def count_correct(model: nn.Module, split: LabeledImages, fabric: Fabric) -> int:
    """Counts the images of a split that are classified correctly; the processes of `fabric` share the work."""
    if fabric.world_size > 1:
        split = split.take(torch.arange(fabric.global_rank, len(split), fabric.world_size))
    correct = torch.zeros((), device=fabric.device)
    for batch in split.batches(BATCH_SIZE):
        correct += (logits(model, batch.images).argmax(1) == batch.labels).sum()
    return int(all_reduced(fabric, correct, "sum"))


def all_reduced(fabric: Fabric, value: Tensor, reduction: Literal["sum", "mean"]) -> Tensor:
    """Returns the sum or the mean of `value` over the processes of `fabric`."""
    reduced = fabric.all_reduce(value, reduce_op=reduction)
    assert isinstance(reduced, Tensor)  # Fabric returns the type that it was given
    return reduced
