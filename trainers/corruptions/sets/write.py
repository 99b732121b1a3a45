"""Writes a corrupted test set in the layout of CIFAR-10-C or of ImageNet-C; uses all cores and can be resumed."""

from __future__ import annotations

import hashlib
import itertools
import json
import multiprocessing
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from allweather.runtimes.errors import OutputError, map_write_errors
from allweather.runtimes.system.atomic_files import check_own_name
from allweather.runtimes.system.limits import usable_cores
from allweather.runtimes.system.path_argument import as_path
from allweather.trainers.choices import SetLayout
from allweather.trainers.corruptions.catalogue import CORRUPTIONS, get_corruption, validate_images
from allweather.trainers.corruptions.corruption import SEVERITIES
from allweather.trainers.corruptions.sets.base import LABELS_FILE, SETTINGS_FILE
from allweather.trainers.corruptions.sets.parts import corrupted_parts

if TYPE_CHECKING:  # the worker processes do without torch
    from allweather.trainers.data.split import LabeledImages

BLOCK_SIZE = 256  # images that a process corrupts and writes before it takes the next: a tenth of a second at 32 px
# these three files exist only until the set is complete; the journal has one line per finished block
JOURNAL_FILE, CLEAN_FILE, CLEAN_LABELS_FILE = "journal.txt", "clean.npy", "clean-labels.npy"


@dataclass(frozen=True)
class CorruptedSetSettings:
    """What a corrupted set is made from; it is stored in the set as corrupted.json.

    Attributes:
        data: Name of the clean data set.
        classes: Names of the classes, in the order of the labels.
        layout: "npy" as CIFAR-10-C, "folders" as ImageNet-C.
        corruptions: Names of the corruptions.
        seed: Random seed.
        num_images: Number of clean images.
        fingerprint: SHA-256 of the clean images and labels.
    """

    data: str
    classes: tuple[str, ...]
    layout: SetLayout
    corruptions: tuple[str, ...]
    seed: int
    num_images: int
    fingerprint: str


@dataclass(frozen=True)
class _Block:
    """The images from index `first` on of one corruption at one severity, at most `BLOCK_SIZE`."""

    name: str
    severity: int
    first: int

    def __str__(self) -> str:
        """Returns its line in the journal."""
        return f"{self.name} {self.severity} {self.first}"


def write_corrupted_set(
    clean: LabeledImages,
    classes: Sequence[str],
    out: Path | str,
    *,
    data: str,
    layout: SetLayout = "npy",
    corruptions: Sequence[str] = tuple(CORRUPTIONS),
    seed: int = 0,
    processes: int | None = None,
    watch: Callable[[int, int], None] = lambda done, total: None,
    finish: Callable[[Path], None] = lambda folder: None,
) -> CorruptedSetSettings:
    """Writes corrupted copies of images at all five severities. Only a few of them are in memory at a time.

    While it works, the folder `.NAME.part` beside `out` holds what is finished; if the process is killed, the same call
    continues from there. The folder gets its own name when the set is complete. Every image has random numbers of its
    own, so the result does not depend on the number of processes.

    Args:
        clean: Images whose short side is 16 pixels or more. Those that cannot be read are left out.
        classes: Names of the classes, in the order of the labels.
        out: Folder to make.
        data: Name of the clean data set.
        layout: "npy" for NAME.npy uint8 [5 n, h, w, 3], severity 1 first, and labels.npy uint8 [5 n], as CIFAR-10-C;
            "folders" for NAME/SEVERITY/CLASS/INDEX.png, as ImageNet-C.
        corruptions: Names of the corruptions.
        seed: Random seed; the same seed gives the same set.
        processes: Number of processes; None for one per core.
        watch: Called with (blocks done, blocks in total).
        finish: Called with the folder when all images are written, to add files before it gets its own name.

    Returns:
        The settings that are stored with the set.

    Raises:
        UsageError: There is no corruption of one of the names.
        DataError: The images are too small, or none can be read.
        OutputError: `out` exists or cannot be written, or an unfinished set with other settings is in the way.
    """
    out = as_path(out)
    validate_images(np.zeros((1, *clean.size, 3), np.uint8))  # a blank one, as all have its size
    names = tuple(get_corruption(name).name for name in dict.fromkeys(corruptions))
    check_output_is_new(out)
    clean = clean.readable()
    settings = CorruptedSetSettings(data, tuple(classes), layout, names, seed, len(clean), _fingerprint(clean))
    part = out.with_name(f".{out.name}.part")
    with map_write_errors(part):
        _prepare_folder(part, settings, clean)
        _write_blocks(part, settings, processes or usable_cores(), watch)
        finish(part)
        # the journal is removed last: without it a later call would start the whole set again
        for name in (CLEAN_FILE, CLEAN_LABELS_FILE, JOURNAL_FILE):
            (part / name).unlink(missing_ok=True)
        part.rename(out)
    return settings


def check_output_is_new(out: Path | str) -> None:
    """Checks that nothing exists at the path of a new set.

    Raises:
        OutputError: Something does, or the path ends with "..".
    """
    out = as_path(out)
    check_own_name(out)
    if out.exists():
        raise OutputError(f"{out} is there already; name a new folder")


def _fingerprint(clean: LabeledImages) -> str:
    """Returns the SHA-256 of the pixels and labels: the same for images in memory and for the same ones streamed."""
    digest = hashlib.sha256()
    for batch in clean.batches(BLOCK_SIZE):
        digest.update(np.ascontiguousarray(batch.images.numpy()).data)
    digest.update(clean.labels.numpy().tobytes())
    return digest.hexdigest()


def _prepare_folder(part: Path, settings: CorruptedSetSettings, clean: LabeledImages) -> None:
    """Makes all files and folders of the set except the images, unless an earlier call has made them."""
    if (part / JOURNAL_FILE).is_file():
        if json.loads((part / SETTINGS_FILE).read_text()) != json.loads(json.dumps(asdict(settings))):
            raise OutputError(
                f"{part} holds an unfinished set with other settings or data; finish that set, or remove the folder"
            )
        return
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    (part / SETTINGS_FILE).write_text(json.dumps(asdict(settings), indent=1))
    labels = clean.labels.numpy()
    _save_images(part / CLEAN_FILE, clean)
    np.save(part / CLEAN_LABELS_FILE, labels)
    if settings.layout == "npy":
        dtype = np.uint8 if len(settings.classes) <= 256 else np.int64  # uint8 as published
        np.save(part / LABELS_FILE, np.tile(labels, len(SEVERITIES)).astype(dtype))
        shape = (len(SEVERITIES) * len(labels), *clean.size, 3)
        for name in settings.corruptions:
            np.lib.format.open_memmap(part / f"{name}.npy", "w+", np.uint8, shape)
            # reserves the space on disk, because a full disk would kill a worker process later
            with (part / f"{name}.npy").open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, os.fstat(file.fileno()).st_size)
    else:
        for name, severity, label in itertools.product(settings.corruptions, SEVERITIES, np.unique(labels)):
            (part / name / str(severity) / settings.classes[label]).mkdir(parents=True)
    (part / JOURNAL_FILE).touch()


def _save_images(path: Path, images: LabeledImages) -> None:
    """Writes images as numpy.save would, batch by batch; the workers read them there."""
    header = {"descr": "|u1", "fortran_order": False, "shape": (len(images), *images.size, 3)}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for batch in images.batches(BLOCK_SIZE):
            file.write(np.ascontiguousarray(batch.images.numpy()).data)


def _write_blocks(
    part: Path, settings: CorruptedSetSettings, processes: int, watch: Callable[[int, int], None]
) -> None:
    """Corrupts and writes all blocks that the journal does not list yet."""
    done = set((part / JOURNAL_FILE).read_text().splitlines())
    blocks = [
        _Block(name, severity, first)
        for name in settings.corruptions
        for severity in SEVERITIES
        for first in range(0, settings.num_images, BLOCK_SIZE)
    ]
    remaining = [block for block in blocks if str(block) not in done]
    watch(len(blocks) - len(remaining), len(blocks))
    with (part / JOURNAL_FILE).open("a") as journal, _workers(min(processes, len(remaining))) as pool:
        with _told_if_refused():
            futures = {pool.submit(_write_block, part, settings, block): block for block in remaining}
        try:
            for num_done, future in enumerate(as_completed(futures), len(blocks) - len(remaining) + 1):
                try:
                    future.result()
                except BrokenProcessPool:
                    raise OutputError(
                        "a worker process was killed, for example for lack of memory; run the command again to continue"
                    ) from None
                journal.write(f"{futures[future]}\n")
                journal.flush()
                watch(num_done, len(blocks))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


@contextmanager
def _workers(count: int) -> Iterator[Executor]:
    """Opens a pool of processes, or of one thread if one is enough.

    Processes are spawned, not forked, because a forked copy of a process that has threads may hang.
    """
    if count <= 1:
        with ThreadPoolExecutor(1) as pool:
            yield pool
    else:
        with _told_if_refused():
            processes = ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), _initialize_worker)
        with processes as pool:
            yield pool


@contextmanager
def _told_if_refused() -> Iterator[None]:
    """Turns the error of a system that allows no more processes, or has no semaphores for them, into one line."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(
            f"the system refuses worker processes ({reason}); one process (--processes 1, processes=1) does without"
        ) from None


def _initialize_worker() -> None:
    """Prepares a worker process: it uses one core, and leaves Ctrl-C to its parent.

    A thread ends it when its parent is killed. The pool alone would not, because the worker itself holds an end of the
    pool's pipe, which therefore never closes.
    """
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _write_block(part: Path, settings: CorruptedSetSettings, block: _Block) -> None:
    """Corrupts the images of a block and writes them; runs in a worker."""
    clean = np.load(part / CLEAN_FILE, mmap_mode="r")[block.first : block.first + BLOCK_SIZE]
    corrupted = corrupted_parts(clean, block.name, block.severity, settings.seed, block.first)
    with map_write_errors(part):
        if settings.layout == "npy":
            stored = np.load(part / f"{block.name}.npy", mmap_mode="r+")
            start = (block.severity - 1) * settings.num_images + block.first
            for images in corrupted:
                stored[start : start + len(images)] = images
                start += len(images)
            stored.flush()
            return
        cell = part / block.name / str(block.severity)
        labels = np.load(part / CLEAN_LABELS_FILE)[block.first : block.first + BLOCK_SIZE]
        images_of_block = itertools.chain.from_iterable(corrupted)
        for index, (image, label) in enumerate(zip(images_of_block, labels, strict=True), block.first):
            _, data = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
            (cell / settings.classes[label] / f"{index:08}.png").write_bytes(data.tobytes())
