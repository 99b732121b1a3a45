"""The plan of an epoch: which images each step takes, how far each is shifted, and which are flipped.

All random numbers of an epoch are drawn at its start, from (seed, epoch) alone, and then applied by pure functions. So
a run that is resumed in the middle of an epoch, or spread over several processes, trains on exactly the images that an
uninterrupted single process would have trained on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from allweather.trainers.choices import Padding


@dataclass(frozen=True)
class EpochPlan:
    """The random numbers of one epoch.

    Attributes:
        order: int64 [steps, batch], indices of images. The last images, too few to fill a batch, are left out.
        shift: int64 [steps, batch, copies, 2], rows and columns to shift each copy by.
        hflip: bool [steps, batch, copies], whether each copy is flipped horizontally.
        shifted: For each copy, whether it is shifted, or cropped at random where the data has larger images.
        seed: Two numbers from which further random numbers of the epoch are drawn, image by image.
        padding: What comes in from outside a shifted image; see `gather`.
    """

    order: Tensor
    shift: Tensor
    hflip: Tensor
    shifted: tuple[bool, ...]
    seed: tuple[int, int]
    padding: Padding = "reflect"

    def for_step(self, step: int, share: slice) -> tuple[Tensor, Tensor, Tensor]:
        """Returns the arguments of `gather` for a share of the images of one step.

        Args:
            step: Index of the step in the epoch.
            share: Which images of the batch; each of several processes takes a share of its own.

        Returns:
            order [n * copies], shift [n * copies, 2] and hflip [n * copies] for n images: the first copies of all of
            them, then the second copies of all, and so on.
        """
        shift, hflip = self.shift[step, share].transpose(0, 1), self.hflip[step, share].T
        return self.order[step, share].repeat(len(shift)), shift.flatten(0, 1), hflip.flatten()


def plan_epoch(
    num_images: int,
    batch_size: int,
    *,
    shift: int,
    hflip: bool,
    seed: int,
    epoch: int,
    shifted: Sequence[bool] = (True,),
    balanced: Tensor | None = None,
    padding: Padding = "reflect",
) -> EpochPlan:
    """Draws the random numbers of an epoch.

    Args:
        num_images: Number of images in the split, at least `batch_size`.
        batch_size: Number of images per step.
        shift: Largest shift in pixels, in either direction.
        hflip: Whether half of the images are flipped horizontally.
        seed: Random seed of the run.
        epoch: Index of the epoch, from 0.
        shifted: For each copy of an image, whether it is shifted. The draws of the copies are independent.
        balanced: int64 [num_images], labels by which each class is drawn equally often; None means that each image is
            drawn once.
        padding: What comes in from outside a shifted image; see `gather`.
    """
    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    steps = num_images // batch_size
    if balanced is None:
        order = torch.randperm(num_images, generator=generator)[: steps * batch_size]
    else:
        order = _balanced_order(balanced, steps * batch_size, generator)
    shifts = torch.randint(-shift, shift + 1, (steps, batch_size, len(shifted), 2), generator=generator)
    flips = torch.rand(steps, batch_size, len(shifted), generator=generator) < (0.5 if hflip else 0.0)
    shifts = shifts * torch.tensor(shifted)[:, None]
    return EpochPlan(order.reshape(steps, batch_size), shifts, flips, tuple(shifted), (seed, epoch), padding)


def _balanced_order(labels: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Draws `count` images, of each class that occurs equally many (or one more), in random order.

    The images of a class are drawn again only after all of them have been drawn.
    """
    counts = labels.bincount()
    rows_of_classes = [rows for rows in torch.split(labels.argsort(stable=True), counts.tolist()) if len(rows)]
    share, rest = divmod(count, len(rows_of_classes))
    places = torch.randperm(len(rows_of_classes), generator=generator)  # the first `rest` classes get one image more
    drawn = []
    for place, rows in zip(places.tolist(), rows_of_classes, strict=True):
        number = share + (place < rest)
        rounds = [rows[torch.randperm(len(rows), generator=generator)] for _ in range(-(-number // len(rows)))]
        drawn.append(torch.cat([rows[:0], *rounds])[:number])
    return torch.cat(drawn)[torch.randperm(count, generator=generator)]
