"""Sequences of frames with their true labels, and what bundles of samples/ give for each frame by itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt

from allweather import Perceiver, load
from allweather.demo.drive import region_around
from allweather.runtimes.types import Floats, Frame, Image
from allweather.trainers.corruptions import CORRUPTIONS, corrupt_images
from allweather.trainers.data.registry import open_dataset
from allweather.trainers.data.signs import render_drive

BUNDLES = Path(__file__).resolve().parents[2] / "samples" / "bundles"
IN_TURN = ", views in turn"  # ends the name of a system whose views take turns over the frames of an object
DRIVE_FRAMES = 1680
OBJECTS, MIN_FRAMES, MAX_FRAMES = 60, 20, 40  # of a sequence of CIFAR-10 images
MAX_SHIFT = 3  # pixels


@dataclass(frozen=True)
class System:
    """A bundle of samples/bundles and its policy.

    Attributes:
        bundle: Name of the bundle.
        policy: The policy; None for the bundle's own.
        takes_turns: Whether the views take turns over the frames of an object.
    """

    bundle: str
    policy: str | None
    takes_turns: bool = False


DRIVE_SYSTEMS = {
    "plain": System("signs-plain", "center"),
    "robust": System("signs-robust", "center"),
    "robust, top:1": System("signs-robust", "top:1"),
    f"robust, top:1{IN_TURN}": System("signs-robust", "top:1", takes_turns=True),
    "robust + TTA": System("signs-robust", None),
}
IMAGE_SYSTEMS = {
    "one view": System("cifar10-resnet20", "center"),
    "top:1": System("cifar10-resnet20", "top:1"),
    f"top:1{IN_TURN}": System("cifar10-resnet20", "top:1", takes_turns=True),
    "its policy": System("cifar10-resnet20", None),
}


@dataclass(frozen=True)
class LabeledFrame:
    """What is decided on in one frame.

    Attributes:
        image: uint8 [h, w, 3], RGB.
        label: The true class; -1 if there is none.
        object: Number of the object; -1 if there is none.
        part: Name of the weather, or "corrupted".
        box: Where it is in the frame: left, top, width, height.
    """

    image: Image
    label: int
    object: int
    part: str
    box: tuple[int, int, int, int]


@dataclass(frozen=True)
class Recording:
    """A sequence of n frames without the images; see `LabeledFrame`.

    Attributes:
        label: int [n].
        object: int [n].
        part: text [n].
        box: int [n, 4].
        systems: Names of the systems, [s].
        probabilities: float32 [s, n, C], what each system gives for each frame.
    """

    label: npt.NDArray[np.int64]
    object: npt.NDArray[np.int64]
    part: npt.NDArray[np.str_]
    box: npt.NDArray[np.int64]
    systems: npt.NDArray[np.str_]
    probabilities: Floats


def drive(folder: Path, seed: int) -> Recording:
    """Returns the demo's drive, in which each system decides on the square around the nearest sign."""
    return _recorded(folder / f"drive-{seed}.npz", DRIVE_SYSTEMS, lambda: _drive(seed))


def corrupted_images(folder: Path, data: str, split: str, seed: int) -> Recording:
    """Returns a synthetic sequence: each object is one image that stays for 20 to 40 frames.

    It moves by at most a pixel a frame, within three pixels; one of the 19 corruptions is drawn for each object, with a
    severity that drifts by one step in a tenth of the frames; noise, snow and the like are drawn anew in each frame.

    Args:
        folder: Where recordings are kept.
        data: Name of the data set, such as cifar10:ROOT.
        split: "val" or "test".
        seed: Random seed.
    """
    name = f"{split}-{seed}.npz"
    return _recorded(folder / name, IMAGE_SYSTEMS, lambda: _corrupted(data, split, np.random.default_rng(seed)))


def _drive(seed: int) -> Iterator[LabeledFrame]:
    for frame in render_drive(seed, DRIVE_FRAMES):
        region = region_around(frame.box, frame.image)
        label, sign = (-1 if each is None else each for each in (frame.label, frame.sign))
        box = (region.x, region.y, region.width, region.height)
        yield LabeledFrame(region.crop(frame.image), label, sign, frame.condition, box)


def _corrupted(data: str, split: str, rng: np.random.Generator) -> Iterator[LabeledFrame]:
    held = getattr(open_dataset(data), split)
    images, labels = np.asarray(held.images), np.asarray(held.labels)
    for number, index in enumerate(rng.choice(len(labels), OBJECTS, replace=False)):
        kind, severity = str(rng.choice(list(CORRUPTIONS))), int(rng.integers(1, 6))
        padded = np.pad(images[index], ((MAX_SHIFT, MAX_SHIFT), (MAX_SHIFT, MAX_SHIFT), (0, 0)), "reflect")
        y, x = MAX_SHIFT, MAX_SHIFT
        height, width = images[index].shape[:2]
        for _ in range(rng.integers(MIN_FRAMES, MAX_FRAMES + 1)):
            y, x = np.clip(np.add((y, x), rng.integers(-1, 2, 2)), 0, 2 * MAX_SHIFT)
            if rng.random() < 0.1:
                severity = int(np.clip(severity + rng.choice((-1, 1)), 1, 5))
            image = corrupt_images(padded[None, y : y + height, x : x + width].copy(), kind, severity, rng)[0]
            yield LabeledFrame(image, int(labels[index]), number, "corrupted", (0, 0, width, height))


def _recorded(path: Path, systems: dict[str, System], frames: Callable[[], Iterator[LabeledFrame]]) -> Recording:
    """Reads a recording; makes it first if it is not there."""
    if not path.exists():
        perceivers = [load(BUNDLES / each.bundle, policy=each.policy, threads=1) for each in systems.values()]
        recording = _record(frames(), systems, perceivers)
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, **{field.name: getattr(recording, field.name) for field in fields(recording)})
        for perceiver in perceivers:
            perceiver.close()
    with np.load(path) as stored:
        return Recording(**{field.name: stored[field.name] for field in fields(Recording)})


def _record(frames: Iterator[LabeledFrame], systems: dict[str, System], perceivers: list[Perceiver]) -> Recording:
    rows, results, last = [], [], -1
    before = dict.fromkeys(systems, 0)
    for index, frame in enumerate(frames):
        rows.append((frame.label, frame.object, frame.part, frame.box))
        results.append([])
        for (name, system), perceiver in zip(systems.items(), perceivers, strict=True):
            if frame.object != last or not system.takes_turns:
                before[name] = 0
            decision = perceiver.decide(Frame(frame.image, index, time.monotonic()), views_before=before[name])
            before[name] += len(decision.views)
            results[-1].append(decision.probabilities)
        last = frame.object
    labels, objects, parts, boxes = (np.array(column) for column in zip(*rows, strict=True))
    names = np.array(list(systems))
    return Recording(labels, objects, parts, boxes, names, np.array(results, np.float32).swapaxes(0, 1))
