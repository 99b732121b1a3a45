"""The drive past road signs: the rendered road as a camera, and what each system reads on every frame."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from allweather.demo.drive_images import Example
from allweather.demo.kept_folder import DECISIONS, VIDEO
from allweather.demo.outcomes import FrameOutcome
from allweather.demo.split_screen import Reading, split_screen
from allweather.runtimes.cameras.open import camera_from
from allweather.runtimes.loop.deciders import FunctionDecider
from allweather.runtimes.loop.loop import run
from allweather.runtimes.loop.stats import LoopReport
from allweather.runtimes.perceiver import Perceiver
from allweather.runtimes.region import Region
from allweather.runtimes.sinks.jsonl import JsonlSink
from allweather.runtimes.sinks.video import VideoSink
from allweather.runtimes.temporal import Smoother
from allweather.runtimes.types import Decision, Frame, Image
from allweather.trainers.data.signs import CLASSES, DriveFrame, render_drive

FPS = 30.0
BUDGET_MS = 33.0  # a frame at 30 frames a second
PREVIEW_EVERY = 12  # frames; browsers do not play the MPEG-4 that cv2 writes, and its VP8 takes 0.1 s a frame
REGION_SCALE = 1.25  # side of the region, relative to the larger side of the sign's box, as in the training images
SMOOTHED = "smoothed"  # the decisions of the last system, combined over the frames of each sign
SHORT_OF_TIME = ("budget", "no_time_to_rank", "past_deadline")  # reasons of a decision with fewer views than wanted
DEFAULT_SIDE = 32  # side in pixels of the box in the middle of a frame without a sign


@dataclass(frozen=True)
class DriveResult:
    """Result of a drive.

    Attributes:
        systems: Names of the systems; the last one kept the budget.
        loop: Statistics of the loop: of the last system.
        outcomes: One for each frame.
        examples: A frame of each condition, by its name; see `Example`.
        preview: Every twelfth frame as the video shows it: uint8 [H, W, 3], RGB.
    """

    systems: tuple[str, ...]
    loop: LoopReport
    outcomes: tuple[FrameOutcome, ...]
    examples: dict[str, Example]
    preview: list[Image]


def run_drive(
    systems: Mapping[str, Perceiver], out: Path, frames: int, seed: int, watch: Callable[[int, int], None]
) -> DriveResult:
    """Drives past road signs; each system decides on the same region around the nearest sign of each frame.

    Args:
        systems: The systems by name. The last one is run first on each frame: its decisions are those of the loop, and
            its times are measured from the capture of the frame.
        out: Folder to write drive.mp4 and decisions.jsonl into.
        frames: Number of frames, at least 1.
        seed: Random seed of the road; the same seed gives the same drive.
        watch: Called with (frames done, frames in total).

    Raises:
        OutputError: `out` cannot be written to.
    """
    road, recorder, smoother = _Road(seed, frames), _Recorder(tuple(systems)), Smoother(CLASSES)
    *others, timed = systems

    def decide(frame: Frame, skipped: int) -> Decision:
        crop = region_around(road.truth[frame.index].box, frame.image).crop(frame.image)
        decision = systems[timed].decide(Frame(crop, frame.index, frame.captured), skipped)
        decisions = {name: systems[name](crop) for name in others} | {timed: decision}
        sign = road.truth[frame.index].sign
        label = decision.label
        if sign is not None:  # the number that a tracker would give
            label = smoother(frame, [dataclasses.replace(decision, track=sign)])[0].label
        recorder.record(road.truth[frame.index], decisions, label)
        watch(frame.index + 1, frames)
        return decision

    log = out / DECISIONS
    log.unlink(missing_ok=True)
    video = VideoSink(out / VIDEO, FPS, lambda frame, decisions: recorder.draw(frame.image))
    loop = run(camera_from(road.images()), FunctionDecider(decide), [video, JsonlSink(log)])
    return DriveResult(tuple(systems), loop, tuple(recorder.outcomes), recorder.examples, recorder.preview)


def region_around(box: tuple[int, int, int, int] | None, image: Image) -> Region:
    """Returns the square around a sign that a tracker would give; in the middle of the frame if there is no sign."""
    height, width = image.shape[:2]
    default = (width // 2 - DEFAULT_SIDE // 2, height // 2 - DEFAULT_SIDE // 2, DEFAULT_SIDE, DEFAULT_SIDE)
    left, top, box_width, box_height = box or default
    side = min(round(REGION_SCALE * max(box_width, box_height)), height, width)
    x = min(max(0, left + box_width // 2 - side // 2), width - side)
    y = min(max(0, top + box_height // 2 - side // 2), height - side)
    return Region(x, y, side, side)


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


class _Recorder:
    """Keeps the outcome of each frame, and draws it."""

    def __init__(self, systems: tuple[str, ...]) -> None:
        self._systems = systems
        self._truth: DriveFrame | None = None
        self._decisions: dict[str, Decision] = {}
        self._wrong: dict[str, list[bool]] = {}
        self._condition = ""
        self.outcomes: list[FrameOutcome] = []
        self.examples: dict[str, Example] = {}
        self.preview: list[Image] = []

    def record(self, truth: DriveFrame, decisions: Mapping[str, Decision], smoothed: str) -> None:
        """Keeps what the systems decided on a frame, and the label of the last one, smoothed."""
        self._truth, self._decisions = truth, {name: decisions[name] for name in self._systems}
        timed = decisions[self._systems[-1]]
        name = None if truth.label is None else CLASSES[truth.label]
        predictions = {system: decision.label for system, decision in self._decisions.items()}
        read = {**predictions, SMOOTHED: smoothed}
        short_of_time = timed.reason in SHORT_OF_TIME
        self.outcomes.append(
            FrameOutcome(truth.condition, name, truth.sign, read, timed.times.total, timed.views, short_of_time)
        )
        if truth.condition != self._condition:
            self._condition, self._wrong = truth.condition, {system: [] for system in self._systems}
        for system in self._systems if name else ():
            self._wrong[system].append(predictions[system] != name)

    def draw(self, image: Image) -> Image:
        """Draws the frame that was recorded last, and keeps it where the preview or the examples need it."""
        assert self._truth is not None
        truth, outcome = self._truth, self.outcomes[-1]
        readings = {system: self._reading(system, decision) for system, decision in self._decisions.items()}
        picture = split_screen(image, region_around(truth.box, image), truth.condition, readings)
        if (len(self.outcomes) - 1) % PREVIEW_EVERY == 0:
            self.preview.append(picture)
        if truth.box is not None:
            correct = tuple(bool(outcome.correct(system)) for system in self._systems)
            example = Example(truth.box[2], correct, picture)
            self.examples[truth.condition] = example.better_of(self.examples.get(truth.condition))
        return picture

    def _reading(self, system: str, decision: Decision) -> Reading:
        assert self._truth is not None
        wrong = self._wrong[system]
        count = len(decision.views)
        return Reading(
            label=CLASSES.index(decision.label),
            confidence=decision.confidence,
            correct=None if self._truth.label is None else decision.label == CLASSES[self._truth.label],
            wrong_share=sum(wrong) / len(wrong) if wrong else 0.0,
            note=f"{count} view{'s' if count > 1 else ''}, {1000 * decision.times.total:.1f} ms",
        )
