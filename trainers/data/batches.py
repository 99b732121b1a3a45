"""Batches of an epoch: which pictures, how shifted, which mirrored. Drawn once an epoch, then applied purely.

All draws of an epoch come from (seed, epoch) alone. So a run that is resumed in the middle of an epoch, or spread over
several processes, sees exactly the pictures that an undisturbed single process would have seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from allweather.runtimes.types import Image
from allweather.trainers.data.dataset import Split


@dataclass(frozen=True)
class EpochPlan:
    """The random numbers of one epoch.

    Attributes:
        order: int64 [steps, batch], numbers of pictures; the rest that fills no batch is left out.
        shift: int64 [steps, batch, copies, 2], rows and columns to move by.
        hflip: bool [steps, batch, copies].
    """

    order: Tensor
    shift: Tensor
    hflip: Tensor

    def of(self, step: int, share: slice) -> tuple[Tensor, Tensor, Tensor]:
        """What `gather` takes for a share of a step's pictures: all first copies, then all second ones, and so on."""
        shift, hflip = self.shift[step, share].transpose(0, 1), self.hflip[step, share].T
        return self.order[step, share].repeat(len(shift)), shift.flatten(0, 1), hflip.flatten()


def plan_epoch(
    count: int, batch: int, *, shift: int, hflip: bool, seed: int, epoch: int, shifted: Sequence[bool] = (True,)
) -> EpochPlan:
    """Draws an epoch over `count` pictures.

    Args:
        count: pictures in the split, >= batch.
        batch: pictures a step.
        shift: largest move in pixels, either way.
        hflip: whether half of the pictures are mirrored.
        seed: of the run.
        epoch: from 0.
        shifted: for each copy of a picture whether it is moved; the copies' draws are independent.
    """
    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    steps = count // batch
    order = torch.randperm(count, generator=generator)[: steps * batch].reshape(steps, batch)
    moves = torch.randint(-shift, shift + 1, (steps, batch, len(shifted), 2), generator=generator)
    flips = torch.rand(steps, batch, len(shifted), generator=generator) < (0.5 if hflip else 0.0)
    return EpochPlan(order, moves * torch.tensor(shifted)[:, None], flips)


def gather(split: Split, order: Tensor, shift: Tensor, hflip: Tensor) -> tuple[Tensor, Tensor]:
    """Picks, shifts (reflected at the border) and mirrors a batch, all in one indexing step.

    Args:
        split: n pictures of h x w pixels, on any device.
        order: int64 [b], numbers of pictures.
        shift: int64 [b, 2], rows and columns, each less than the side.
        hflip: bool [b].

    Returns:
        float32 [b, 3, h, w] in 0..1, channels-last in memory, and the labels, int64 [b].
    """
    device = split.images.device
    height, width = split.images.shape[1:3]
    order, shift, hflip = order.to(device), shift.to(device), hflip.to(device)
    rows = _reflected(torch.arange(height, device=device) + shift[:, :1], height)
    columns = _reflected(torch.arange(width, device=device) + shift[:, 1:], width)
    columns = torch.where(hflip[:, None], columns.flip(1), columns)
    images = split.images[order[:, None, None], rows[:, :, None], columns[:, None, :]]
    return to_float(images), split.labels[order]


def to_float(images: Tensor) -> Tensor:
    """uint8 [n, h, w, 3] -> float32 [n, 3, h, w] in 0..1; the strides stay, which is channels-last."""
    return images.permute(0, 3, 1, 2).to(torch.float32).div_(255)


def _reflected(position: Tensor, side: int) -> Tensor:
    """Folds positions back into 0..side-1 by mirroring at the border pixels, as cv2's BORDER_REFLECT_101."""
    last = side - 1
    return last - (last - position.abs()).abs()


def as_image(images: torch.Tensor) -> Image:
    """float [n, 3, h, w] in 0..1 -> uint8 [n, h, w, 3]."""
    stored = (images * 255).round().to(torch.uint8).permute(0, 2, 3, 1)
    return np.ascontiguousarray(stored.numpy())
