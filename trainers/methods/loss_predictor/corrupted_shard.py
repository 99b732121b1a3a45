"""The corrupted images of one shard of view losses, and their views, which other threads prepare ahead of their use."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.system.limits import processes_here, usable_cores
from allweather.runtimes.tta.views import view
from allweather.runtimes.types import Image
from allweather.trainers.corruptions.sets.corrupted_copies import CopySettings, corrupted_copies
from allweather.trainers.data.split import LabeledImages, NoReadableImageError, Split

SHARD_IMAGES = 500  # clean images whose corrupted copies make one shard
SMALL_SIDE = 64  # pixels; shards of images up to this size are never smaller
SHARD_BYTES = 256_000_000  # that the corrupted copies of larger images take at most
VIEW_IMAGES = 500  # corrupted images that a view is applied to at once; a multiple of the classifiers' batches
MAX_THREADS = 8


@dataclass(frozen=True)
class CorruptedShard:
    """The corrupted images of one shard.

    Attributes:
        images: uint8 [m, h, w, 3], at the input size of the classifier.
        labels: int64 [m].
        source: int64 [m], row of each image before corruption in the split.
        corruption: int64 [m], index in `COMMON`, -1 for clean images.
        prepared: uint8 [m, s, s, 3], the same images at the input size of the predictor.
    """

    images: Image
    labels: Tensor
    source: Tensor
    corruption: npt.NDArray[np.int64]
    prepared: Image


def images_per_shard(size: tuple[int, int], copies: int) -> int:
    """Returns how many clean images make a shard: 500, or fewer if their copies would take more than 256 MB.

    The random numbers of a shard depend on it, so that it is 500 for all images of up to 64 pixels.

    Args:
        size: Height and width of the images.
        copies: Number of corrupted copies of each.
    """
    if max(size) <= SMALL_SIDE:
        return SHARD_IMAGES
    return max(1, min(SHARD_IMAGES, SHARD_BYTES // (size[0] * size[1] * 3 * copies)))


def shards_ahead(
    split: LabeledImages,
    indices: Sequence[int],
    size: int,
    spec: InputSpec,
    copy_settings: CopySettings,
    threads: ThreadPoolExecutor,
) -> Iterator[CorruptedShard]:
    """Yields the shards of these indices; a thread makes each while the caller uses the one before.

    Args:
        split: Clean images, on the CPU.
        indices: Indices of the shards.
        size: Clean images of a shard.
        spec: Input of the predictor.
        copy_settings: How the images are corrupted.
        threads: The threads.
    """
    waiting: deque[Future[CorruptedShard]] = deque()
    for index in indices:
        # Streamed images are decoded by processes that are forked here. No thread may compute with OpenCV then, as a
        # forked process would wait forever for what that thread holds.
        done = waiting.popleft().result() if waiting else None
        images = _readable(split, range(index * size, min((index + 1) * size, len(split))))
        waiting.append(threads.submit(_corrupted, images, split.labels, spec, copy_settings, index))
        if done:
            yield done
    while waiting:
        yield waiting.popleft().result()


def views_ahead(
    shard: CorruptedShard, views: Sequence[str], threads: ThreadPoolExecutor
) -> Iterator[tuple[str, Image]]:
    """Yields the views of a shard, part by part; the threads make some while the caller uses those before.

    Yields:
        (name of the view, uint8 [<= VIEW_IMAGES, h, w, 3]); all parts of a view in order, view after view.
    """
    waiting: deque[tuple[str, Future[Image]]] = deque()
    for name in views:
        for first in range(0, len(shard.images), VIEW_IMAGES):
            waiting.append((name, threads.submit(_applied, name, shard.images[first : first + VIEW_IMAGES])))
            if len(waiting) > thread_count():
                done, part = waiting.popleft()
                yield done, part.result()
    for done, part in waiting:
        yield done, part.result()


def thread_count() -> int:
    """Returns how many threads prepare: one for each core that is this process's own, at most 8."""
    return max(1, min(MAX_THREADS, usable_cores() // processes_here()))


def _readable(split: LabeledImages, rows: range) -> Split:
    """Returns those of some images that can be read; their labels are their rows in the split."""
    indices = torch.arange(rows.start, rows.stop)
    try:
        return split.take(indices).with_labels(indices).loaded()
    except NoReadableImageError:
        return Split(torch.empty((0, *split.size, 3), dtype=torch.uint8), indices[:0])


def _corrupted(
    images: Split, labels: Tensor, spec: InputSpec, copy_settings: CopySettings, index: int
) -> CorruptedShard:
    """Corrupts the images of a shard.

    Args:
        images: The images; their labels are their rows in the split.
        labels: int64 [n], the labels of the whole split.
        spec: Input of the predictor.
        copy_settings: How the images are corrupted.
        index: Index of the shard, on which the random numbers depend.
    """
    rng = np.random.default_rng([copy_settings.seed, index])
    repeated = torch.arange(len(images)).repeat(copy_settings.copies)
    corrupted, corruption = corrupted_copies(images.images.numpy()[repeated.numpy()], copy_settings, rng)
    source = images.labels[repeated]
    prepared = np.empty((len(source), spec.height, spec.width, 3), np.uint8)
    for row, image in enumerate(corrupted):
        prepared[row] = spec.prepare(image)
    return CorruptedShard(corrupted, labels[source], source, corruption, prepared)


def _applied(name: str, images: Image) -> Image:
    return np.stack([view(name).apply(image) for image in images])
