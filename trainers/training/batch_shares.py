"""How a batch is divided among the processes of a run, and the share of each process into parts."""

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
        processes: Number of processes, each of which takes an equal share of a batch and divides it into equal parts.

    Raises:
        UsageError: The batch cannot be divided evenly, or there are fewer images than parts.
    """
    parts = processes * settings.accumulate
    batch_size = min(settings.batch_size, count - count % parts)
    if batch_size < parts or batch_size % parts:
        if count < parts:
            raise UsageError(
                f"a batch is divided into {parts} parts, and there are only {count} training images; take fewer "
                f"processes ({processes}) or accumulate fewer parts ({settings.accumulate})"
            )
        among = f"among {processes} processes" if settings.accumulate == 1 else f"into {parts} parts"
        factor = "processes" if settings.accumulate == 1 else f"processes ({processes}) times accumulate"
        raise UsageError(
            f"a batch of {batch_size} images cannot be divided evenly {among}; choose a "
            f"batch size that is a multiple of the number of {factor}"
        )
    if batch_size < settings.batch_size:
        log.warning(
            "a batch of %d holds all %d training images, so that an epoch is one step; try --batch-size %d",
            settings.batch_size, count, max(MIN_BATCH_SIZE, parts, count // 10 // parts * parts),
        )  # fmt: skip
    return batch_size


def share(rank: int, processes: int, part: int = 0, parts: int = 1) -> slice:
    """Returns which images of a batch the process of a rank computes; of several equal parts of them, one."""
    return slice(rank + part * processes, None, processes * parts)
