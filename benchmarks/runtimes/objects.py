"""Measures deciding on several objects of a frame within one budget: errors against time.

    python benchmarks/runtimes/objects.py BUNDLE CORRUPTED [--boxes 1 5 20] [--shares 0.8 1.2 1.5 2 3] [--frames 100]

Rivals, with the same engine: one view of each box, in batches; and equal shares, in which each box in turn gets its
share of the time that is left, and as many views as fit. CORRUPTED is the folder of a corrupted test set, whose images
are the boxes of a frame, drawn from all corruptions and severities; all rivals get the same ones. A budget is given as
a multiple of the measured time of one view of each box. Prints the error in percent over all boxes, undecided ones
counted as errors, the mean number of views of a box, and the share of frames in which all boxes were decided in time.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from allweather import load
from allweather.runtimes.bundle.bundle import Bundle
from allweather.runtimes.markdown import markdown_table
from allweather.runtimes.perceiver import Perceiver
from allweather.runtimes.system.device import this_device
from allweather.runtimes.types import Decision, Image
from allweather.trainers.corruptions.catalogue import CORRUPTIONS
from allweather.trainers.corruptions.corruption import SEVERITIES
from allweather.trainers.corruptions.sets.read import open_corrupted_set

WARM_FRAMES = 30  # after which the latency models have adapted


@dataclass(frozen=True)
class Scene:
    """A frame with its boxes side by side, and the label of each."""

    image: Image
    boxes: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]


def scenes(corrupted: Path, bundle: Bundle, count: int, frames: int) -> list[Scene]:
    """Draws frames of boxes from all corruptions and severities, the same at each call."""
    data, rng = open_corrupted_set(corrupted, bundle.classes, bundle.input), np.random.default_rng(0)
    cells = [np.concatenate([*data.batches(name, severity, 500)]) for name in CORRUPTIONS for severity in SEVERITIES]
    side = bundle.input.height
    edges = side * np.arange(count)
    boxes = np.stack([edges, np.zeros_like(edges), edges + side, np.full_like(edges, side)], 1)
    drawn = []
    for _ in range(frames):
        cell, row = rng.integers(len(cells), size=count), rng.integers(len(data.labels), size=count)
        images = [cells[each][index] for each, index in zip(cell, row, strict=True)]
        drawn.append(Scene(np.concatenate(images, 1), boxes, data.labels[row]))
    return drawn


def equal_shares(perceiver: Perceiver, scene: Scene) -> list[Decision]:
    """Gives each box an equal share of the budget, and as many views as fit into that."""
    started, budget = time.monotonic(), perceiver.budget
    decisions = []
    for index, (left, top, right, bottom) in enumerate(scene.boxes):
        share = (budget.seconds - (time.monotonic() - started)) / (len(scene.boxes) - index)
        perceiver.budget = replace(budget, seconds=max(share, 1e-6))
        decisions.append(perceiver(scene.image[top:bottom, left:right]))
    perceiver.budget = budget
    late = time.monotonic() - started > budget.seconds
    return [replace(decision, late=late) for decision in decisions]


def common_budget(perceiver: Perceiver, scene: Scene) -> list[Decision]:
    """Decides on all boxes within one budget."""
    return perceiver.objects(scene.image, scene.boxes)


RIVALS: dict[str, Callable[[Perceiver, Scene], list[Decision]]] = {
    "one view each": common_budget,  # of a perceiver whose policy is one view
    "equal shares": equal_shares,
    "one budget": common_budget,
}


def seconds_of_one_view_each(one_view: Perceiver, drawn: list[Scene]) -> float:
    """Returns the median time of one view of each box, without a deadline."""
    seconds = []
    for scene in drawn[:WARM_FRAMES]:
        started = time.monotonic()
        one_view.objects(scene.image, scene.boxes)
        seconds.append(time.monotonic() - started)
    return float(np.median(seconds))


def rows(args: argparse.Namespace, bundle: Bundle, count: int) -> Iterator[tuple[str, ...]]:
    """Yields a row for each budget and rival."""
    drawn = scenes(args.corrupted, bundle, count, args.frames + WARM_FRAMES)
    with load(args.bundle, policy="center", max_boxes=count) as unhurried:
        unit = seconds_of_one_view_each(unhurried, drawn)
    for share in args.shares:
        milliseconds = 1000 * share * unit
        with ExitStack() as stack:  # each with a perceiver of its own, as each learns from what it runs
            perceivers = {
                name: stack.enter_context(load(args.bundle, policy=policy, budget_ms=milliseconds, max_boxes=count))
                for name, policy in zip(RIVALS, ("center", args.policy, args.policy), strict=True)
            }
            results: dict[str, list[tuple[float, float, bool]]] = {name: [] for name in RIVALS}
            for scene in drawn:
                for name, decide in RIVALS.items():
                    decisions = decide(perceivers[name], scene)
                    wrong = [
                        each.label != bundle.classes[label] for each, label in zip(decisions, scene.labels, strict=True)
                    ]
                    in_time = all(each.views and not each.late for each in decisions)
                    views = float(np.mean([len(each.views) for each in decisions]))
                    results[name].append((float(np.mean(wrong)), views, in_time))
        for name, each in results.items():
            error, views, in_time = np.mean(each[WARM_FRAMES:], 0)
            cells = (f"{100 * error:.2f}", f"{views:.2f}", f"{100 * in_time:.1f}")
            yield (str(count), f"{share:g} ({milliseconds:.1f} ms)", name, *cells)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("corrupted", type=Path)
    parser.add_argument("--boxes", type=int, nargs="+", default=[1, 5, 20])
    parser.add_argument("--shares", type=float, nargs="+", default=[0.8, 1.2, 1.5, 2, 3])
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--policy", default="top:2+flip")
    args = parser.parse_args()
    bundle = Bundle.open(args.bundle)
    head = ("boxes", "budget / one view each", "", "error, %", "views a box", "all decided in time, %")
    print(f"{this_device().line()}; {args.bundle.name}, {args.policy}, {args.frames} frames")
    table = [head, *(row for count in args.boxes for row in rows(args, bundle, count))]
    print("\n".join(markdown_table(table)))


if __name__ == "__main__":
    main()
