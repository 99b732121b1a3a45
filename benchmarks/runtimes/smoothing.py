"""Measures temporal smoothing: errors, label changes and delays against each frame by itself.

    python benchmarks/runtimes/smoothing.py choose FOLDER --data cifar10:ROOT
    python benchmarks/runtimes/smoothing.py report FOLDER --data cifar10:ROOT [--plot FILE.png]

`choose` compares settings on the roads of seeds 0 to 2 and on sequences of validation images, `report` compares the
default settings with other ways on the roads of seeds 11 to 13 and on sequences of test images; see sequences.py. The
probabilities of every frame are recorded once, in FOLDER, and smoothing runs on them: it makes no engine call.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import numpy.typing as npt
from sequences import IN_TURN, Recording, corrupted_images, drive

from allweather.runtimes.markdown import markdown_table
from allweather.runtimes.region import Region
from allweather.runtimes.system.device import this_device
from allweather.runtimes.temporal import Smoother, Smoothing
from allweather.runtimes.types import Decision, Floats, Frame, StageTimes

FPS = 30.0
MINUTE = 60 * FPS  # frames
MAX_DELAY = 3  # frames
CHOOSING, REPORTING = (0, 1, 2), (11, 12, 13)
GRID = (10.0, 30.0, 100.0), (0.02, 0.05, 0.1, 0.15, 0.3)  # object_frames, outlier_rate
VOTES, MEAN_WEIGHT = 5, 0.3  # of the rivals: frames that vote; weight of the newest frame in the exponential mean
FLOOR = 1e-3  # added to probabilities before their logarithm
PIXEL = np.zeros((1, 1, 3), np.uint8)
NO_TIMES = StageTimes(0, 0, 0, 0, 0, 0)
Labels = npt.NDArray[np.int64]
Method = Callable[[Recording, int], Labels]


def alone(recording: Recording, system: int) -> Labels:
    """Returns the label of each frame by itself."""
    return recording.probabilities[system].argmax(1)


def decisions(recording: Recording, system: int, settings: Smoothing, known_by: str) -> list[Decision]:
    """Returns the smoothed decision of each frame. Objects are known by their "track", their "box" or by "nothing"."""
    names = [str(index) for index in range(recording.probabilities.shape[2])]
    smoother, result = Smoother(names, settings), []
    for index, probabilities in enumerate(recording.probabilities[system]):
        track = int(recording.object[index]) if known_by == "track" and recording.object[index] >= 0 else None
        region = Region(*(int(edge) for edge in recording.box[index]))
        own = Decision(
            names[int(probabilities.argmax())], float(probabilities.max()), probabilities, index, ("identity",), (),
            NO_TIMES, 0.0, False, 0, region=region, track=track, name="region" if known_by == "nothing" else "",
        )  # fmt: skip
        result += smoother(Frame(PIXEL, index, index / FPS), [own])
    return result


def smoothed(settings: Smoothing, known_by: str, recording: Recording, system: int) -> Labels:
    """Returns the smoothed label of each frame."""
    return np.array([int(each.label) for each in decisions(recording, system, settings, known_by)])


def majority(recording: Recording, system: int) -> Labels:
    """Returns what most of the last frames of the object say; the newest of those that are level."""
    own, start, labels = alone(recording, system), 0, []
    for index, label in enumerate(own):
        start = index if index and recording.object[index] != recording.object[index - 1] else start
        votes = np.bincount(own[max(start, index - VOTES + 1) : index + 1]).astype(float)
        votes[label] += 0.5
        labels.append(votes.argmax())
    return np.array(labels)


def exponential_mean(of: Callable[[Floats], Floats], recording: Recording, system: int) -> Labels:
    """Returns the label of the exponentially weighted mean over the frames of the object."""
    labels, mean = [], np.zeros(0)
    for index, values in enumerate(of(recording.probabilities[system])):
        is_new = not index or recording.object[index] != recording.object[index - 1]
        mean = values if is_new else (1 - MEAN_WEIGHT) * mean + MEAN_WEIGHT * values
        labels.append(mean.argmax())
    return np.array(labels)


METHODS: dict[str, Method] = {
    "each frame alone": alone,
    "majority of 5 frames, reset at each object": majority,
    "mean of probabilities, reset": partial(exponential_mean, lambda values: values),
    "mean of log-probabilities, reset": partial(exponential_mean, lambda values: np.log(values + FLOOR)),
    "smoothing, objects by track": partial(smoothed, Smoothing(), "track"),
    "smoothing, objects by box": partial(smoothed, Smoothing(), "box"),
    "smoothing, no cue": partial(smoothed, Smoothing(), "nothing"),
    "smoothing, no cue, outlier rate 0.02": partial(smoothed, Smoothing(outlier_rate=0.02), "nothing"),
}
TURNS: dict[str, Method] = {  # of a system that is followed by the same one with views in turn, see sequences.py
    "smoothing, objects by track, views in turn": lambda recording, system: METHODS["smoothing, objects by track"](
        recording, system + 1
    )
}


@dataclass(frozen=True)
class Outcome:
    """What a way of labeling the frames of some recordings gave.

    Attributes:
        errors: Share of wrong frames by part, over all recordings.
        bad: Mean of the bad parts' errors, of each recording.
        changes: Label changes a minute beyond those of the objects.
        delays: Frames until the first correct label, at changes of label whose first three frames are correct alone.
        extra: The same beyond that of each frame alone, at all changes.
    """

    errors: dict[str, float]
    bad: tuple[float, ...]
    changes: float
    delays: npt.NDArray[np.int64]
    extra: npt.NDArray[np.int64]

    @property
    def error(self) -> float:
        """Mean error of the bad parts over the recordings."""
        return float(np.mean(self.bad))


def outcome(recordings: Sequence[Recording], system: int, method: Method) -> Outcome:
    """Labels the frames of recordings and compares them with the truth."""
    wrong: dict[str, list[bool]] = {}
    bad, changes, frames, delays, extra = [], 0, 0, list[int](), list[int]()
    for each in recordings:
        labels, own, seen = method(each, system), alone(each, system), each.label >= 0
        parts = [str(part) for part in dict.fromkeys(each.part)]
        in_part = {part: (labels != each.label)[seen & (each.part == part)] for part in parts}
        for part, values in in_part.items():
            wrong.setdefault(part, []).extend(values)
        groups = [values for part, values in in_part.items() if part != "clear"]
        bad.append(float(np.mean([values.mean() for values in groups if len(values)])))
        changes += int((np.diff(labels[seen]) != 0).sum() - (np.diff(each.label[seen]) != 0).sum())
        frames += int(seen.sum())
        for start, end in changes_of_label(each):
            first = [_first(each.label[start:end], what[start:end]) for what in (labels, own)]
            extra.append(first[0] - first[1])
            if (own[start : start + MAX_DELAY] == each.label[start]).all():
                delays.append(first[0])
    errors = {part: float(np.mean(values)) for part, values in wrong.items()}
    return Outcome(errors, tuple(bad), MINUTE * changes / frames, np.array(delays), np.array(extra))


def changes_of_label(recording: Recording) -> Iterator[tuple[int, int]]:
    """Yields the first frame, and that after the last one, of each object with another label than the one before."""
    starts = np.flatnonzero(np.diff(recording.object)) + 1
    for start, end in zip(starts, [*starts[1:], len(recording.object)], strict=True):
        if recording.label[start] >= 0 and recording.label[start] != recording.label[start - 1]:
            yield int(start), int(end)


def _first(truth: Labels, labels: Labels) -> int:
    """Returns the index of the first correct label; their number if there is none."""
    correct = np.flatnonzero(truth == labels)
    return int(correct[0]) if len(correct) else len(labels)


def choose(sets: dict[str, list[Recording]]) -> None:
    """Prints errors, relative to those of each frame alone, and late changes of label, for a grid of settings."""
    for name, recordings in sets.items():
        rows = [("object frames", "outlier rate", *(f"{system}, {cue}" for system, cue in _columns(recordings)))]
        for frames, rate in product(*GRID):
            cells = []
            for system, known_by in _columns(recordings):
                column = list(recordings[0].systems).index(system)
                method = partial(smoothed, Smoothing(object_frames=frames, outlier_rate=rate), known_by)
                result, before = outcome(recordings, column, method), outcome(recordings, column, alone)
                cells.append(f"{result.error / before.error:.3f} ({100 * (result.delays > MAX_DELAY).mean():.1f})")
            rows.append((f"{frames:g}", f"{rate:g}", *cells))
        print(f"\n{name}: error / error of each frame alone (% of changes followed later than {MAX_DELAY} frames)\n")
        print("\n".join(markdown_table(rows)))


def _columns(recordings: Sequence[Recording]) -> list[tuple[str, str]]:
    systems = [str(system) for system in recordings[0].systems if IN_TURN not in str(system)]
    return [(system, known_by) for system in systems for known_by in ("track", "nothing")]


def report(sets: dict[str, list[Recording]]) -> None:
    """Prints how the ways compare, and the errors of each part."""
    for name, recordings in sets.items():
        systems = [str(system) for system in recordings[0].systems]
        for column, system in enumerate(systems):
            if IN_TURN in system:
                continue
            methods = METHODS | TURNS if system + IN_TURN in systems else METHODS
            outcomes = {
                method: outcome(recordings, column, label)
                for method, label in methods.items()
                if name == "drive" or "box" not in method  # of an image that fills the frame the box is no cue
            }
            before = outcomes["each frame alone"]
            rows = [("", "error, %", "/ alone", "by seed", "changes / min", "delay", "> 3", "extra delay", "> 3")]
            for method, each in outcomes.items():
                ratios = " ".join(f"{mine / own:.2f}" for mine, own in zip(each.bad, before.bad, strict=True))
                late, later = (f"{100 * (values > MAX_DELAY).mean():.1f}" for values in (each.delays, each.extra))
                rows.append(
                    (method, f"{100 * each.error:.2f}", f"{each.error / before.error:.2f}", ratios,
                     f"{each.changes:.1f}", f"{each.delays.mean():.2f} (max {each.delays.max()})", late,
                     f"{each.extra.mean():.2f}", later)
                )  # fmt: skip
            print(f"\n{name}, {system}: {len(before.delays)} of {len(before.extra)} changes begin correctly\n")
            print("\n".join(markdown_table(rows)))
            if name == "drive":
                _print_parts(outcomes)
            _print_stable(recordings, column)


def _print_parts(outcomes: dict[str, Outcome]) -> None:
    rows = [("errors, %", *outcomes["each frame alone"].errors)]
    for method in ("each frame alone", "smoothing, objects by box"):
        rows.append((method, *(f"{100 * error:.1f}" for error in outcomes[method].errors.values())))
    print("\n" + "\n".join(markdown_table(rows)))


def _print_stable(recordings: Sequence[Recording], system: int) -> None:
    """Prints how many frames of the bad parts are stable, the errors among them, and what smoothing takes."""
    wrong, stable, seconds = [], [], 0.0
    for each in recordings:
        started = time.process_time()
        found = decisions(each, system, Smoothing(), "track")
        seconds += time.process_time() - started
        bad = (each.label >= 0) & (each.part != "clear")
        stable.append(np.array([bool(one.stable) for one in found])[bad])
        wrong.append((np.array([int(one.label) for one in found]) != each.label)[bad])
    chosen, errors = np.concatenate(stable), np.concatenate(wrong)
    microseconds = 1e6 * seconds / sum(len(each.label) for each in recordings)
    print(
        f"\nstable are {100 * chosen.mean():.1f} % of the bad frames; of those {100 * errors[chosen].mean():.2f} % are "
        f"wrong, of the others {100 * errors[~chosen].mean():.2f} %; {microseconds:.0f} us of a core a decision"
    )


def main() -> None:
    """Prints the tables, and draws the timeline."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=("choose", "report"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", required=True)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--weather", default="noise", help="what the plot shows, of the first road with one view")
    args = parser.parse_args()
    seeds, split = (CHOOSING, "val") if args.task == "choose" else (REPORTING, "test")
    sets = {
        "drive": [drive(args.folder, seed) for seed in seeds],
        "images": [corrupted_images(args.folder, args.data, split, seed) for seed in seeds],
    }
    print(this_device().line())
    (choose if args.task == "choose" else report)(sets)
    if args.plot:
        from smoothing_plot import timeline

        each = sets["drive"][0]
        labels = smoothed(Smoothing(), "box", each, 1)
        args.plot.write_bytes(timeline(each, alone(each, 1), labels, args.weather))


if __name__ == "__main__":
    main()
