"""The splits of the drawn data set: image i of a split depends on (seed, split, i) alone."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from allweather.runtimes.errors import UsageError
from allweather.runtimes.setting_types import is_whole
from allweather.runtimes.types import Image
from allweather.trainers.data.signs.backgrounds import draw_backgrounds
from allweather.trainers.data.signs.sign.scene import paint_scene, sample_scene
from allweather.trainers.data.signs.sign.sign_faces import CLASSES

SPLITS: Mapping[str, int] = MappingProxyType({"train": 12_000, "val": 2_000, "test": 4_000})  # numbers of images
MIN_SIZE = 16  # pixels


def render_signs(
    split: str, *, size: int = 32, seed: int = 0, count: int | None = None
) -> tuple[Image, NDArray[np.int64]]:
    """Renders a split, or its first images: 1 ms an image of 32 px on one core of a busy 2.5 GHz Xeon.

    Args:
        split: "train", "val" or "test".
        size: Side of the images in pixels, at least 16.
        seed: Random seed; another seed gives another data set of the same kind.
        count: Number of images, from the first; None for all (`SPLITS`).

    Returns:
        Images, uint8 [n, size, size, 3], RGB; and labels, int64 [n], indices into `CLASSES`. Every run of 16 images
        that starts at a multiple of 16 holds each class once.

    Raises:
        UsageError: An argument is out of range.
    """
    _check(split, size, seed, count)
    split_index = list(SPLITS).index(split)
    backgrounds = draw_backgrounds(seed, split_index)
    total = SPLITS[split] if count is None else count
    images = np.empty((total, size, size, 3), np.uint8)
    labels = np.empty(total, np.int64)
    for index in range(total):
        block, position = divmod(index, len(CLASSES))
        if position == 0:
            order = np.random.default_rng([seed, split_index, 2, block]).permutation(len(CLASSES))
        labels[index] = order[position]
        rng = np.random.default_rng([seed, split_index, 3, index])
        images[index] = paint_scene(sample_scene(rng, int(order[position])), size, backgrounds, rng)
    return images, labels


def _check(split: str, size: int, seed: int, count: int | None) -> None:
    if split not in tuple(SPLITS):
        raise UsageError(f"split must be one of {', '.join(SPLITS)}; got {split!r:.40}")
    if not is_whole(size) or size < MIN_SIZE:
        raise UsageError(f"size must be at least {MIN_SIZE} pixels; got {size!r:.40}")
    if not is_whole(seed):
        raise UsageError(f"seed must be a whole number; got {seed!r:.40}")
    if seed < 0:
        raise UsageError(f"seed must not be negative; got {seed}")
    if count is not None and not (is_whole(count) and 1 <= count <= SPLITS[split]):
        raise UsageError(f"count must be 1 to {SPLITS[split]} for split {split!r}; got {count!r:.40}")
