"""Dividing labeled images at random, such as into train, val and test."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from allweather.runtimes.errors import DataError
from allweather.trainers.data.split import LabeledImages


def split_off(split: LabeledImages, count: int, seed: int) -> tuple[LabeledImages, LabeledImages]:
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
    split: LabeledImages, shares: Sequence[float], seed: int, copies: Sequence[Sequence[int]] = ()
) -> list[LabeledImages]:
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
            taken = _fill(alike, size_of_part(len(order), share, left), left - 1)
            parts[taken] = part
            left -= len(taken)
            alike = [group for group in alike if not parts[group[0]]]
    if not (parts == 1).any():
        raise DataError(f"cannot hold out any of {len(split)} images, as no class has two that differ; add images")
    return [split.take((parts == part).nonzero()[:, 0]) for part in range(len(shares) + 1)]


def size_of_part(count: int, share: float, left: int) -> int:
    """Returns how many images of a class a part gets: its share, at least one, and never the last one that is left.

    Args:
        count: Number of images of the class.
        share: Share of the part, 0..1.
        left: Number of them that no earlier part has got.
    """
    return max(min(max(1, round(share * count)), left - 1), 0)


def _fill(groups: Sequence[Sequence[int]], wanted: int, most: int) -> list[int]:
    """Returns the first groups that fit into `wanted` numbers; if none does, the first that fits into `most`."""
    taken: list[int] = []
    for group in groups:
        if len(taken) + len(group) <= wanted:
            taken += group
    return taken or list(next((group for group in groups if len(group) <= most), ()))
