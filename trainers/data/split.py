"""Labeled images in memory, and dividing them at random."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from allweather.runtimes.errors import DataError
from allweather.runtimes.system.memory import allocate

FROM_NUMPY = "; torch.from_numpy makes one of an array"


@dataclass(frozen=True)
class Split:
    """Labeled images of one size.

    Attributes:
        images: uint8 [n, h, w, 3], RGB. Height and width are those of the model's input.
        labels: int64 [n], 0..C-1.
    """

    images: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        """Checks types and shapes, so that no other code has to guess what the values mean.

        Raises:
            DataError: The images or labels are of another type or shape.
        """
        for name, values in (("images", self.images), ("labels", self.labels)):
            if not isinstance(values, Tensor):
                raise DataError(f"the {name} of a split are a torch tensor; got {type(values).__name__}{FROM_NUMPY}")
        if self.images.dtype != torch.uint8 or self.images.ndim != 4 or self.images.shape[3] != 3:
            came = f"{_type_name(self.images)} {list(self.images.shape)}"
            scale = "; multiply 0..1 by 255, round and convert" if self.images.dtype.is_floating_point else ""
            raise DataError(f"the images of a split are uint8 [n, h, w, 3], RGB, 0 to 255; got {came}{scale}")
        if self.labels.dtype != torch.int64 or self.labels.ndim != 1:
            came = f"{_type_name(self.labels)} {list(self.labels.shape)}"
            raise DataError(f"the labels of a split are int64 [n]; got {came}")
        if len(self.images) != len(self.labels):
            raise DataError(f"a split has a label for each image; got {len(self.images)} and {len(self.labels)}")

    def __len__(self) -> int:
        """Returns the number of images."""
        return len(self.labels)

    def __repr__(self) -> str:
        """Returns how many images there are and their size, as a notebook shows them."""
        return f"Split({len(self)} images of {self.images.shape[1]} x {self.images.shape[2]} px)"

    def take(self, indices: Tensor) -> Split:
        """Returns a copy of the images with these indices (int64 [m]), on disk if they are too many for memory."""
        if self.images.device.type != "cpu":
            return Split(self.images[indices], self.labels[indices])
        images = torch.from_numpy(allocate((len(indices), *self.images.shape[1:])))
        return Split(torch.index_select(self.images, 0, indices, out=images), self.labels[indices])

    def to(self, device: torch.device) -> Split:
        """Returns the same split on `device`."""
        return Split(self.images.to(device), self.labels.to(device))


def _type_name(values: Tensor) -> str:
    return str(values.dtype).removeprefix("torch.")


def split_off(split: Split, count: int, seed: int) -> tuple[Split, Split]:
    """Splits off `count` random images.

    Args:
        split: Images to divide.
        count: Number of images to split off, at least 1 and fewer than the split has.
        seed: Random seed; the same seed gives the same images.

    Returns:
        (the other images, the images that were split off), each in the order of `split`.

    Raises:
        DataError: `split` has too few images.
    """
    if not 0 < count < len(split):
        raise DataError(f"cannot hold out {count} of {len(split)} images; add images")
    order = torch.randperm(len(split), generator=torch.Generator().manual_seed(seed))
    return split.take(order[count:].sort().values), split.take(order[:count].sort().values)


def split_off_each_class(
    split: Split, shares: Sequence[float], seed: int, copies: Sequence[Sequence[int]] = ()
) -> list[Split]:
    """Splits off random parts of the images of each class, such as val and test.

    Of each class a part gets its share, and at least one image. One image of each class stays; where a class has too
    few, the later parts get none of it.

    Args:
        split: Images to divide.
        shares: Share of each class to split off, 0..1, for each part.
        seed: Random seed; the same seed gives the same images.
        copies: Indices of images that show the same, group by group. The images of a group stay together; those of
            one that has several classes are not split off.

    Returns:
        The images that stay and then each part, in the order of `split`. A part may be empty, but for the first.

    Raises:
        DataError: No class has two different images.
    """
    rng = torch.Generator().manual_seed(seed)
    group_of = {index: list(group) for group in copies for index in group}
    parts = torch.zeros(len(split), dtype=torch.int64)
    for label in torch.unique(split.labels):
        of_class = (split.labels == label).nonzero()[:, 0]
        order = of_class[torch.randperm(len(of_class), generator=rng)].tolist()
        groups = {min(group): group for group in (group_of.get(index, [index]) for index in order)}.values()
        alike = [group for group in groups if bool((split.labels[group] == label).all())]
        left = len(order)
        for part, share in enumerate(shares, 1):
            taken = _fill(alike, min(max(1, round(share * len(order))), left - 1), left - 1)
            parts[taken] = part
            left -= len(taken)
            alike = [group for group in alike if not parts[group[0]]]
    if not (parts == 1).any():
        raise DataError(f"cannot hold out any of {len(split)} images, as no class has two that differ; add images")
    return [split.take((parts == part).nonzero()[:, 0]) for part in range(len(shares) + 1)]


def _fill(groups: Sequence[Sequence[int]], wanted: int, most: int) -> list[int]:
    """Returns the first groups that fit into `wanted` numbers; if none does, the first that fits into `most`."""
    taken: list[int] = []
    for group in groups:
        if len(taken) + len(group) <= wanted:
            taken += group
    return taken or list(next((group for group in groups if len(group) <= most), ()))
