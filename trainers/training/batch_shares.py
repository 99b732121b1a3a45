"""How a batch is divided among the processes of a run."""

from __future__ import annotations

import logging

from allweather.runtimes.errors import UsageError
from allweather.trainers.training.settings import MIN_BATCH_SIZE, FitSettings

log = logging.getLogger(__name__)


def usable_batch_size(settings: FitSettings, count: int, processes: int) -> int:
    """Returns the number of images of a step: that of the settings, or fewer if there are not as many images.

    Args:
        settings: Settings of the loop.
        count: Number of training images.
        processes: Number of processes, each of which takes an equal share of a batch.

    Raises:
        UsageError: The batch cannot be divided evenly.
    """
    batch_size = min(settings.batch_size, count - count % processes)
    if batch_size < processes or batch_size % processes:
        raise UsageError(
            f"a batch of {batch_size} images cannot be divided evenly among {processes} processes; choose a "
            "batch size that is a multiple of the number of processes"
        )
    if batch_size < settings.batch_size:
        log.warning(
            "a batch of %d holds all %d training images, so that an epoch is one step; try --batch-size %d",
            settings.batch_size, count, max(MIN_BATCH_SIZE, processes, count // 10 // processes * processes),
        )  # fmt: skip
    return batch_size


def share(rank: int, processes: int) -> slice:
    """Returns which images of a batch the process of a rank computes."""
    return slice(rank, None, processes)
