"""Answers why not simply a bigger network: error against the time of a frame, of several networks and their policies.

    python benchmarks/tta/bigger_network.py DATA CORRUPTED FOLDER BUNDLE ... [--policies center top:1 ...]
        [--precisions fp32 int8] [--engine openvino] [--clean N] [--frames 200]

Rivals: the bundles, which are told apart by the names of their files, with each policy that they can follow, in each
precision. Errors are those of N clean test images and of the corrupted set in the folder CORRUPTED. The time of a frame
is the median over frames that all rivals decide on in turn, from the prepared image to the decision; half of the frames
are clean, half corrupted. FOLDER gets a record for each rival, and a picture with the front: the rivals that no other
beats in both error and time.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

sys.path.append(str(Path(__file__).resolve().parents[1] / "trainers"))  # a script finds only what is beside it
from chosen_views import correct_by_policy
from run_records import RunRecord, load_record, new_record, save_record
from studies import errors_in_one_line, open_study_folder

from allweather import load
from allweather.reports.figure import png_figure
from allweather.runtimes.errors import UsageError
from allweather.runtimes.perceiver.perceiver import Perceiver
from allweather.runtimes.system.atomic_files import atomic_file
from allweather.runtimes.system.memory import keep_freed_memory
from allweather.runtimes.tta.policy_names import parse_policy
from allweather.runtimes.types import Image
from allweather.trainers.corruptions.catalogue import COMMON, CORRUPTIONS, EXTRA
from allweather.trainers.corruptions.corruption import SEVERITIES
from allweather.trainers.corruptions.sets.read import open_corrupted_set
from allweather.trainers.data.registry import open_dataset_of
from allweather.trainers.inference.open_model import BATCH_SIZE, EvaluatedModel, open_model
from allweather.trainers.training.launch import launch

Cell = tuple[Image, npt.NDArray[np.int64]]  # uint8 [n, h, w, 3] images and their int64 [n] labels
POLICIES = ("center", "hflip", "top:1", "top:1+flip", "top:1+flip@0.95", "top:2+flip", "top:2+flip@0.95")
COLORS = ("#0072b2", "#e69f00", "#334155", "#cc79a7")  # of the bundles; the colour-blind tell them apart, too
MILLISECONDS = (1, 1.5, 2, 3, 4, 6, 8, 10)
PANELS = {"clean": "clean images", "common": "the 15 common corruptions"}


@dataclass(frozen=True)
class Rival:
    """A bundle, a precision and a policy."""

    bundle: Path
    precision: str
    policy: str

    @property
    def name(self) -> str:
        """Name in tables and files."""
        return f"{self.bundle.name} {self.precision} {self.policy}"

    def record(self, folder: Path) -> Path:
        """Path of its record."""
        return folder / f"{self.name.replace(' ', '-').replace(':', '')}.json"


def groups(model: EvaluatedModel, args: argparse.Namespace) -> Iterator[tuple[str, Callable[[], Iterator[Cell]]]]:
    """Yields clean, common and extra, each with a function that reads its cells: one, or a corruption and severity."""
    data = open_dataset_of(args.data, model.classes, model.input)
    test = data.test.take(torch.arange(min(args.clean, len(data.test)))).loaded()
    corrupted = open_corrupted_set(args.corrupted, model.classes, model.input)

    def cells(names: Sequence[str]) -> Iterator[Cell]:
        for name in names:
            for each in SEVERITIES:
                yield np.concatenate([*corrupted.batches(name, each, BATCH_SIZE)]), corrupted.labels

    yield "clean", lambda: iter([(test.images.numpy(), test.labels.numpy())])
    yield "common", lambda: cells(COMMON)
    yield "extra", lambda: cells(EXTRA)


def mean_errors(model: EvaluatedModel, policies: Sequence[str], cells: Iterator[Cell]) -> list[float]:
    """Returns the error of each policy in percent, as the mean over cells."""
    parsed = [parse_policy(each, predictor_views=model.predictor_views) for each in policies]
    errors = []
    for images, labels in cells:
        parts = [slice(first, first + BATCH_SIZE) for first in range(0, len(images), BATCH_SIZE)]
        correct = [correct_by_policy(model, parsed, images[part], labels[part]) for part in parts]
        errors.append(100 * (1 - np.concatenate(correct, 1).mean(1)))
    return [float(each) for each in np.mean(errors, 0)]


def errors(rivals: Sequence[Rival], args: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Returns the errors in percent of rivals of one bundle and precision, by name."""
    first = rivals[0]
    found: dict[str, dict[str, float]] = {each.name: {} for each in rivals}
    with open_model(first.bundle, engine=args.engine, precision=first.precision) as opened:
        for group, cells in groups(opened, args):
            values = mean_errors(opened, [each.policy for each in rivals], cells())
            for rival, value in zip(rivals, values, strict=True):
                found[rival.name][group] = value
    return found


def timed_frames(perceiver: Perceiver, args: argparse.Namespace) -> Iterator[tuple[str, Image]]:
    """Yields clean and corrupted test images in turn, `args.frames` of each, with the name of their kind."""
    spec, classes = perceiver.spec, perceiver.classes
    data, corrupted = open_dataset_of(args.data, classes, spec), open_corrupted_set(args.corrupted, classes, spec)
    rng, names = np.random.default_rng(0), list(CORRUPTIONS)
    clean = data.test.take(torch.from_numpy(rng.integers(len(data.test), size=args.frames))).loaded().images.numpy()
    for image in clean:
        yield "clean ms", image
        cell = names[rng.integers(len(names))], SEVERITIES[rng.integers(len(SEVERITIES))]
        yield "corrupted ms", corrupted.image(*cell, int(rng.integers(len(corrupted.labels))))


def milliseconds(
    rivals: Sequence[Rival], args: argparse.Namespace, *, repeats: int = 1, average: Callable[..., Any] = np.median
) -> dict[str, dict[str, float]]:
    """Returns the milliseconds of a frame of each rival, by name and by kind of frame. The rivals take turns.

    Args:
        rivals: Bundles with their policies.
        args: Names of the data, the engine and the number of frames.
        repeats: How often each frame is decided; the shortest time counts.
        average: What is made of the times of all frames.
    """
    with ExitStack() as stack:
        perceivers = [
            stack.enter_context(load(each.bundle, engine=args.engine, precision=each.precision, policy=each.policy))
            for each in rivals
        ]
        times: dict[str, list[list[float]]] = {"clean ms": [], "corrupted ms": []}
        for kind, frame in timed_frames(perceivers[0], args):
            turns = [[_seconds(perceiver, frame) for perceiver in perceivers] for _ in range(repeats)]
            times[kind].append(np.min(turns, 0).tolist())
    averages = {kind: 1000 * average(each, 0) for kind, each in times.items()}
    return {rival.name: {kind: float(each[row]) for kind, each in averages.items()} for row, rival in enumerate(rivals)}


def _seconds(perceiver: Perceiver, frame: Image) -> float:
    started = time.perf_counter()
    perceiver(frame)
    return time.perf_counter() - started


def front(points: Mapping[str, tuple[float, float]]) -> list[str]:
    """Returns the names of the points that no other one beats in time and error, by time."""
    found: list[str] = []
    for name in sorted(points, key=points.__getitem__):
        if not found or points[name][1] < points[found[-1]][1]:
            found.append(name)
    return found


def picture(records: Sequence[RunRecord]) -> bytes:
    """Draws error against time, clean and corrupted, a panel for each; the front is a line of numbered points."""
    bundles = list(dict.fromkeys(str(record.settings["bundle"]) for record in records))
    with png_figure(11, 5) as (figure, png):
        for column, (group, title) in enumerate(PANELS.items()):
            axes = figure.add_subplot(1, len(PANELS), column + 1)
            kind = "clean ms" if group == "clean" else "corrupted ms"
            points = {record.row: (record.results[kind], record.results[group]) for record in records}
            for index, bundle in enumerate(bundles):
                own = [record for record in records if record.settings["bundle"] == bundle]
                for precision, marker in (("fp32", "o"), ("int8", "^")):
                    chosen = [points[each.row] for each in own if each.settings["precision"] == precision]
                    if chosen:
                        axes.plot(
                            *zip(*chosen, strict=True), marker, color=COLORS[index], label=f"{bundle}, {precision}"
                        )
            best = front(points)
            axes.plot(*zip(*(points[name] for name in best), strict=True), "-", color="0.6", zorder=0)
            for number, name in enumerate(best, 1):  # left below the front there are no points
                place = {"xytext": (-3, -2), "textcoords": "offset points", "ha": "right", "va": "top"}
                axes.annotate(str(number), points[name], fontsize=8, **place)
            listed = "\n".join(f"{number}  {name}" for number, name in enumerate(best, 1))
            axes.text(0.01, 0.02, listed, transform=axes.transAxes, fontsize=7.5, va="bottom")
            axes.set(xscale="log", xlabel="median time of a frame, ms", ylabel="error, %", title=title)
            axes.set_xlim(0.7)
            axes.set_xticks(MILLISECONDS, [f"{value:g}" for value in MILLISECONDS])
            axes.minorticks_off()
            axes.legend(fontsize=7.5)
    return png.getvalue()


def main() -> None:
    """Measures the rivals that have no record, prints them and draws the picture."""
    keep_freed_memory()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("corrupted", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("bundles", type=Path, nargs="+")
    parser.add_argument("--policies", nargs="+", default=list(POLICIES))
    parser.add_argument("--precisions", nargs="+", default=["fp32", "int8"])
    parser.add_argument("--engine", default="openvino")
    parser.add_argument("--clean", type=int, default=10000, help="clean test images")
    parser.add_argument("--frames", type=int, default=200, help="frames that are timed, of each kind")
    args = parser.parse_args()
    if len({path.name for path in args.bundles}) < len(args.bundles):
        raise UsageError("the bundles are told apart by the names of their files; rename one of those that are alike")
    open_study_folder(args.folder, data=args.data, corrupted=args.corrupted, engine=args.engine, clean=args.clean)
    rivals = [
        Rival(bundle, precision, policy)
        for bundle in args.bundles for precision in args.precisions for policy in args.policies
    ]  # fmt: skip
    fabric = launch()
    if any(load_record(each.record(args.folder)) is None for each in rivals):
        times = milliseconds(rivals, args)  # of all of them, as times are compared within a run
        for bundle in args.bundles:
            for precision in args.precisions:
                own = [each for each in rivals if (each.bundle, each.precision) == (bundle, precision)]
                for name, found in errors(own, args).items():
                    (rival,) = (each for each in own if each.name == name)
                    facts = {"bundle": bundle.name, "precision": precision, "policy": rival.policy}
                    record = new_record("bigger-network", name, 0, facts, found | times[name], fabric)
                    save_record(rival.record(args.folder), record)
    records = [record for each in rivals if (record := load_record(each.record(args.folder)))]
    for record in records:
        print(record.row, {key: round(value, 3) for key, value in record.results.items()})
    with atomic_file(args.folder / "front.png") as temporary:
        temporary.write_bytes(picture(records))


if __name__ == "__main__":
    with errors_in_one_line():
        main()
