"""The drive past road signs: the rendered road as a camera, the decisions on its frames, and what they were worth."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from allweather.demo.drive_images import Example
from allweather.runtimes.cameras.open import camera_from
from allweather.runtimes.loop.loop import FunctionDecider, run
from allweather.runtimes.loop.stats import LoopReport
from allweather.runtimes.perceiver import Perceiver
from allweather.runtimes.preprocess import Region
from allweather.runtimes.sinks.annotate import annotate
from allweather.runtimes.sinks.base import Sink
from allweather.runtimes.sinks.jsonl import JsonlSink
from allweather.runtimes.sinks.video import VideoSink
from allweather.runtimes.types import Decision, Frame, Image
from allweather.trainers.data.signs import CLASSES, DriveFrame, render_drive

FPS = 30.0
BUDGET_MS = 33.0  # a frame at 30 frames a second
PREVIEW_EVERY = 6  # frames; browsers do not play the MPEG-4 that cv2 writes, and its VP8 takes 0.1 s a frame
REGION_SCALE = 1.25  # side of the region, relative to the larger side of the sign's box, as in the training images
DEFAULT_SIDE = 32  # side in pixels of the box in the middle of a frame without a sign
MIN_EXAMPLE_WIDTH, MAX_EXAMPLE_WIDTH = 40, 90  # pixels; a sign of an example is larger and smaller than that


@dataclass(frozen=True)
class FrameOutcome:
    """One frame of the drive, its ground truth and the decision on it.

    Attributes:
        condition: Condition of the frame: "clean", "dark", "noise" or "blur".
        truth: Name of the true class; None if there is no sign to read.
        prediction: Name of the predicted class.
        milliseconds: Time of the decision.
    """

    condition: str
    truth: str | None
    prediction: str
    milliseconds: float

    @property
    def correct(self) -> bool | None:
        """Whether the prediction is correct; None if there is no sign to read."""
        return None if self.truth is None else self.truth == self.prediction


@dataclass(frozen=True)
class DriveResult:
    """Result of a drive.

    Attributes:
        loop: Statistics of the loop.
        outcomes: One for each frame.
        examples: One example for each condition in which a sign was near enough.
        preview: Every sixth frame, annotated: uint8 [H, W, 3], RGB.
    """

    loop: LoopReport
    outcomes: tuple[FrameOutcome, ...]
    examples: dict[str, Example]
    preview: list[Image]


class _Road:
    """Renders the frames of the drive, and keeps the ground truth of those that it has yielded."""

    def __init__(self, seed: int, frames: int) -> None:
        self._frames = render_drive(seed, frames)
        self.truth: list[DriveFrame] = []

    def images(self) -> Iterator[Image]:
        for frame in self._frames:
            # the image is not kept, or the drive would take half a gigabyte
            self.truth.append(dataclasses.replace(frame, image=np.empty((0, 0, 3), np.uint8)))
            yield frame.image


class _Recorder(Sink):
    """Passes frames on to the video with their regions, and keeps the outcome of each frame."""

    def __init__(self, video: VideoSink, road: _Road) -> None:
        self._video, self._road = video, road
        self.outcomes: list[FrameOutcome] = []
        self.examples: dict[str, Example] = {}
        self.preview: list[Image] = []

    def open(self) -> None:
        self._video.open()

    def write(self, frame: Frame, decision: Decision, region: Region | None) -> None:
        truth = self._road.truth[frame.index]
        region = _region_around(truth.box, frame.image)
        self._video.write(frame, decision, region)
        name = None if truth.label is None else CLASSES[truth.label]
        milliseconds = 1000 * decision.times.total
        self.outcomes.append(FrameOutcome(truth.condition, name, decision.label, milliseconds))
        if frame.index % PREVIEW_EVERY == 0:
            self.preview.append(annotate(frame.image, decision, region))
        width = truth.box[2] if truth.box else 0
        if name is not None and MIN_EXAMPLE_WIDTH < width < MAX_EXAMPLE_WIDTH:
            example = Example(width, name, decision.label, annotate(frame.image, decision, region))
            self.examples[truth.condition] = example.better_of(self.examples.get(truth.condition))

    def close(self) -> None:
        self._video.close()


def run_drive(
    perceiver: Perceiver, out: Path, frames: int, seed: int, watch: Callable[[int, str], None]
) -> DriveResult:
    """Drives past road signs, deciding on a region around the nearest sign of each frame.

    Args:
        perceiver: Decides on the regions.
        out: Folder to write drive.mp4 and decisions.jsonl into.
        frames: Number of frames, at least 1.
        seed: Random seed of the road; the same seed gives the same drive.
        watch: Called with (number of the frame, "drive").

    Raises:
        OutputError: `out` cannot be written to.
    """
    road = _Road(seed, frames)

    def decide(frame: Frame, skipped: int) -> Decision:
        watch(frame.index + 1, "drive")
        region = _region_around(road.truth[frame.index].box, frame.image)
        return perceiver.decide(Frame(region.crop(frame.image), frame.index, frame.captured), skipped)

    recorder = _Recorder(VideoSink(out / "drive.mp4", FPS), road)
    log = out / "decisions.jsonl"
    log.unlink(missing_ok=True)
    loop = run(camera_from(road.images()), FunctionDecider(decide), [recorder, JsonlSink(log)])
    return DriveResult(loop, tuple(recorder.outcomes), recorder.examples, recorder.preview)


def accuracy_of(outcomes: Sequence[FrameOutcome], condition: str) -> float:
    """Returns the accuracy (0..1) over the frames of a condition that have a sign to read; nan without any."""
    correct = [each.correct for each in outcomes if each.condition == condition and each.correct is not None]
    return sum(correct) / len(correct) if correct else float("nan")


def _region_around(box: tuple[int, int, int, int] | None, image: Image) -> Region:
    """Returns the square around a sign that a tracker would give; in the middle of the frame if there is no sign."""
    height, width = image.shape[:2]
    default = (width // 2 - DEFAULT_SIDE // 2, height // 2 - DEFAULT_SIDE // 2, DEFAULT_SIDE, DEFAULT_SIDE)
    left, top, box_width, box_height = box or default
    side = min(round(REGION_SCALE * max(box_width, box_height)), height, width)
    x = min(max(0, left + box_width // 2 - side // 2), width - side)
    y = min(max(0, top + box_height // 2 - side // 2), height - side)
    return Region(x, y, side, side)
