"""Writes a corrupted copy of a test set, in the layout of CIFAR-10-C or of ImageNet-C, on all cores, resumable."""

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

import cv2
import numpy as np

from allweather.runtimes.errors import OutputError, map_write_errors
from allweather.trainers.choices import SetLayout as SetLayout
from allweather.trainers.corruptions.catalogue import CORRUPTIONS, checked, corruption_named
from allweather.trainers.corruptions.corruption import SEVERITIES, Images
from allweather.trainers.corruptions.sets.random_streams import streams
from allweather.trainers.corruptions.sets.read import LABELS, SETTINGS, Labels

BLOCK = 256  # pictures that one process makes at a time: a tenth of a second at 32 px
JOURNAL = "journal.txt"  # lines of what is done; only while it is made, as the next two
CLEAN, CLEAN_LABELS = "clean.npy", "clean-labels.npy"


@dataclass(frozen=True)
class Settings:
    """What a corrupted set is made from; kept beside it as corrupted.json.

    Attributes:
        data: name of the clean set.
        classes: names, in the order of the labels.
        layout: "npy" as CIFAR-10-C, "folders" as ImageNet-C.
        names: of the corruptions.
        seed: of all chance in it.
        count: clean pictures.
        fingerprint: SHA-256 of the clean pictures and labels.
    """

    data: str
    classes: tuple[str, ...]
    layout: SetLayout
    names: tuple[str, ...]
    seed: int
    count: int
    fingerprint: str


@dataclass(frozen=True)
class _Unit:
    """A block of pictures of one cell."""

    name: str
    severity: int
    first: int

    def __str__(self) -> str:
        return f"{self.name} {self.severity} {self.first}"


def write_set(
    images: Images,
    labels: Labels,
    classes: Sequence[str],
    out: Path,
    *,
    data: str,
    layout: SetLayout = "npy",
    names: Sequence[str] = tuple(CORRUPTIONS),
    seed: int = 0,
    processes: int | None = None,
    watch: Callable[[int, int], None] = lambda done, total: None,
    finish: Callable[[Path], None] = lambda folder: None,
) -> Settings:
    """Writes corrupted copies of pictures at all five severities.

    While it works, `.NAME.part` beside `out` holds what is done; the same call goes on from there after a kill. The
    folder appears under its own name when it is whole. Every picture has random numbers of its own, so the result does
    not depend on the number of processes.

    Args:
        images: uint8 [n, h, w, 3], RGB, the short side 16 pixels or more.
        labels: int64 [n].
        classes: names, in the order of the labels.
        out: folder to appear.
        data: name of the clean set.
        layout: "npy": NAME.npy uint8 [5 n, h, w, 3], severity 1 first, and labels.npy uint8 [5 n], as CIFAR-10-C;
            "folders": NAME/SEVERITY/CLASS/NUMBER.png, as ImageNet-C.
        names: of the corruptions.
        seed: of all chance in it.
        processes: all cores where None.
        watch: told of (blocks done, blocks in all).
        finish: called with the whole set just before it appears, to lay something beside it.

    Raises:
        UsageError: a name is no corruption's.
        DataError: the pictures cannot be corrupted.
        OutputError: `out` is taken, or cannot be written, or an unfinished set with other settings is in the way.
    """
    checked(images)
    digest = hashlib.sha256(np.ascontiguousarray(images).data)
    digest.update(labels.tobytes())
    chosen = tuple(corruption_named(name).name for name in dict.fromkeys(names))
    settings = Settings(data, tuple(classes), layout, chosen, seed, len(labels), digest.hexdigest())
    check_not_taken(out)
    part = out.with_name(f".{out.name}.part")
    with map_write_errors(part):
        _begin(part, settings, images, labels)
        _make(part, settings, processes or os.cpu_count() or 1, watch)
        finish(part)
        for name in (CLEAN, CLEAN_LABELS, JOURNAL):  # the journal last: without it all begins anew
            (part / name).unlink(missing_ok=True)
        part.rename(out)
    return settings


def check_not_taken(out: Path) -> None:
    """Refuses a place for a new set that is taken.

    Raises:
        OutputError: it is.
    """
    if out.exists():
        raise OutputError(f"{out} is there already; name a new folder, or remove it")


def _begin(part: Path, settings: Settings, images: Images, labels: Labels) -> None:
    """Makes all files of the set but the pictures, unless an earlier call has."""
    if (part / JOURNAL).is_file():
        if json.loads((part / SETTINGS).read_text()) != json.loads(json.dumps(asdict(settings))):
            raise OutputError(
                f"{part} holds an unfinished set with other settings or data; finish that one, or remove the folder"
            )
        return
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    (part / SETTINGS).write_text(json.dumps(asdict(settings), indent=1))
    np.save(part / CLEAN, images)
    np.save(part / CLEAN_LABELS, labels)
    if settings.layout == "npy":
        kind = np.uint8 if len(settings.classes) <= 256 else np.int64  # uint8 as published
        np.save(part / LABELS, np.tile(labels, len(SEVERITIES)).astype(kind))
        shape = (len(SEVERITIES) * len(labels), *images.shape[1:])
        for name in settings.names:
            np.lib.format.open_memmap(part / f"{name}.npy", "w+", np.uint8, shape)
            with (part / f"{name}.npy").open("r+b") as file:  # else a full disk ends a worker when it writes
                os.posix_fallocate(file.fileno(), 0, os.fstat(file.fileno()).st_size)
    else:
        for name, severity, label in itertools.product(settings.names, SEVERITIES, np.unique(labels)):
            (part / name / str(severity) / settings.classes[label]).mkdir(parents=True)
    (part / JOURNAL).touch()


def _make(part: Path, settings: Settings, processes: int, watch: Callable[[int, int], None]) -> None:
    done = set((part / JOURNAL).read_text().splitlines())
    units = [
        _Unit(name, severity, first)
        for name in settings.names
        for severity in SEVERITIES
        for first in range(0, settings.count, BLOCK)
    ]
    left = [unit for unit in units if str(unit) not in done]
    watch(len(units) - len(left), len(units))
    with (part / JOURNAL).open("a") as journal, _workers(min(processes, len(left))) as pool:
        made = {pool.submit(_make_unit, part, settings, unit): unit for unit in left}
        try:
            for number, future in enumerate(as_completed(made), len(units) - len(left) + 1):
                try:
                    future.result()
                except BrokenProcessPool:
                    raise OutputError(
                        "a process was ended from outside, as where memory is full; start again, it goes on"
                    ) from None
                journal.write(f"{made[future]}\n")
                journal.flush()
                watch(number, len(units))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


@contextmanager
def _workers(count: int) -> Iterator[Executor]:
    """Processes, or a thread where one is enough; new ones, as a copy of a process with threads may hang."""
    if count <= 1:
        with ThreadPoolExecutor(1) as pool:
            yield pool
    else:
        with ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), _alone) as pool:
            yield pool


def _alone() -> None:
    """Prepares a process of the pool: one core is its share, and Ctrl-C is for its parent to answer.

    It ends with its parent also where that is killed: it holds an end of the pool's own pipe, so that never closes.
    """
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _make_unit(part: Path, settings: Settings, unit: _Unit) -> None:
    clean = np.load(part / CLEAN, mmap_mode="r")[unit.first : unit.first + BLOCK]
    rngs = streams(settings.seed, unit.name, unit.severity, unit.first, len(clean))
    made = CORRUPTIONS[unit.name](np.asarray(clean), unit.severity, rngs)
    with map_write_errors(part):
        if settings.layout == "npy":
            stored = np.load(part / f"{unit.name}.npy", mmap_mode="r+")
            start = (unit.severity - 1) * settings.count + unit.first
            stored[start : start + len(made)] = made
            stored.flush()
            return
        cell = part / unit.name / str(unit.severity)
        labels = np.load(part / CLEAN_LABELS)[unit.first : unit.first + BLOCK]
        for number, (image, label) in enumerate(zip(made, labels, strict=True), unit.first):
            _, data = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
            (cell / settings.classes[label] / f"{number:08}.png").write_bytes(data.tobytes())
