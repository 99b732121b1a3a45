"""Worker processes that decode batches ahead of their use: torch's DataLoader, and what its failures mean."""

from __future__ import annotations

import signal
import threading
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import cv2
import torch
from torch.utils.data import DataLoader

from allweather.runtimes.errors import DataError
from allweather.runtimes.system.limits import processes_here, usable_cores
from allweather.runtimes.system.memory import release_freed_memory
from allweather.trainers.data.streamed.decoding import Decoded, Decoder, Request

MAX_WORKERS = 8  # if none are asked for
FEW_IMAGES = 64  # are decoded in this process: it takes less time than to start others
PREFETCHED = 2  # batches that each worker has decoded before they are needed


def default_workers() -> int:
    """Returns how many worker processes one process of a run starts: one for each core that is its own, at most 8."""
    return max(1, min(MAX_WORKERS, usable_cores() // processes_here()))


def decoded_batches(
    decoder: Decoder, requests: Iterable[Request], workers: int, *, pinned: bool = False
) -> Iterator[Decoded]:
    """Yields decoded batches in the order of their requests.

    Args:
        decoder: Decodes them.
        requests: The batches.
        workers: Number of worker processes; 0 decodes in this one.
        pinned: Whether the images are put into memory from which a GPU copies them without waiting.

    Raises:
        DataError: A worker process has ended.
    """
    if workers:
        release_freed_memory()
    with warnings.catch_warnings(), _same_signal_handler():
        # more workers than cores, and a fork of a process that has threads, none of which a worker uses
        warnings.filterwarnings("ignore", "This DataLoader will create|.*multi-threaded, use of fork")
        loader = DataLoader(
            decoder,
            batch_sampler=requests,  # type: ignore[arg-type] # a request stands for a list of indices
            num_workers=workers,
            collate_fn=_as_it_is,  # type: ignore[arg-type] # a batch comes as one object
            pin_memory=pinned,
            worker_init_fn=_start_worker,
            prefetch_factor=PREFETCHED if workers else None,
            generator=torch.Generator(),  # so that it draws nothing from the global one
        )
        batches = iter(loader)
    try:
        yield from batches
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise DataError(
            "a process that reads images has ended, mostly for want of memory or of space in /dev/shm; try fewer with "
            "--workers, or --workers 0"
        ) from error


@contextmanager
def _same_signal_handler() -> Iterator[None]:
    """Keeps the handler of SIGCHLD, in which torch would raise an error wherever this process is when a worker ends.

    Without it, the error is raised where the next batch is waited for, a few seconds later.
    """
    if threading.current_thread() is not threading.main_thread():  # others can set no handler
        yield
        return
    handler = signal.getsignal(signal.SIGCHLD)
    try:
        yield
    finally:
        signal.signal(signal.SIGCHLD, handler if handler is not None else signal.SIG_DFL)


def _as_it_is(batch: Decoded) -> Decoded:
    return batch


def _start_worker(worker: int) -> None:
    """Prepares a worker process: OpenCV's own threads do not survive a fork, and Ctrl-C is for the main process."""
    cv2.setNumThreads(0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
