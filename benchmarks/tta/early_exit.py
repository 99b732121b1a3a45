"""Measures when further views are worth their cost: error against the number of forward passes, on validation images.

    python benchmarks/tta/early_exit.py CHECKPOINT DATA FOLDER [--images N]

Rivals: the policies center, hflip, all, top:1, top:1+flip and top:2+flip. They are compared with three ways to save
forward passes: early exit at a threshold of the averaged probability; four views only if the predicted gain is large;
four further views only if the first prediction is not confident. Last, predicted losses are averaged over the images of
a corruption and severity, as over the frames of a stream.

CHECKPOINT holds a classifier and its loss predictor (`--loss squared`, which predicts nats). N validation images are
corrupted in each of 19 ways at five severities. FOLDER gets curves.png and tables.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from allweather.runtimes.markdown import markdown_table
from allweather.runtimes.system.atomic_files import atomic_file
from allweather.runtimes.tta.aggregate import probabilities
from allweather.runtimes.tta.policy_names import parse_policy
from allweather.runtimes.tta.views import view
from allweather.trainers.checkpoint.checkpoint_file import load_checkpoint
from allweather.trainers.corruptions.catalogue import CORRUPTIONS, corrupt_images
from allweather.trainers.corruptions.corruption import SEVERITIES
from allweather.trainers.data.registry import open_dataset_of
from allweather.trainers.inference.forward import logits
from allweather.trainers.policies.average import average_views

FULL = "top:2+flip"
FIXED_POLICIES = ("center", "hflip", "all", "top:1", "top:1+flip", "top:2+flip")
THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.999)
GAINS = (0.0, 0.1, 0.25, 0.5, 1.0, 2.0)  # nats
MEMORIES = (1, 2, 4, 8, 16, 32)  # numbers of frames over which predicted losses are averaged
SEED = 7

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class ViewResults:
    """Results for the images of all cells (a corruption at a severity), one cell after the other.

    Attributes:
        views: Logits, float32 [n, C], by view.
        predictor_views: Names of the views whose losses are predicted.
        predicted: Predicted losses, float32 [n, V].
        labels: int64 [n].
        cell: int64 [n], index of the cell; cell 0 is clean.
    """

    views: dict[str, npt.NDArray[np.float32]]
    predictor_views: tuple[str, ...]
    predicted: npt.NDArray[np.float32]
    labels: Ints
    cell: Ints


def view_results(path: Path, data: str, count: int) -> ViewResults:
    """Runs the classifier on every view of corrupted validation images; the clean cell is five times as large."""
    start = load_checkpoint(path)
    if start.predictor is None:
        raise SystemExit(f"{path} has no loss predictor; allweather train-predictor trains one")
    val = open_dataset_of(data, start.classes, start.input).val
    model, loss_predictor, spec = start.classifier(), start.predictor.model(), start.predictor.input
    predictor_views = start.predictor.views
    policy = parse_policy(f"top:{len(predictor_views)}+flip", predictor_views=predictor_views)
    names, _ = policy.views_for(range(len(predictor_views)))
    found, predicted, labels, cells = [], [], [], []
    for cell, (kind, severity) in enumerate(
        [("", 0), *((kind, level) for kind in CORRUPTIONS for level in SEVERITIES)]
    ):
        rng = np.random.default_rng([SEED, cell])
        rows = rng.choice(len(val), count, replace=False) if kind else np.arange(min(len(val), 5 * count))
        images = val.images[torch.from_numpy(rows)].numpy()
        if kind:
            images = corrupt_images(images, kind, severity, rng)
        viewed = (torch.from_numpy(np.stack([view(name).apply(image) for image in images])) for name in names)
        found.append(torch.stack([logits(model, each) for each in viewed]).numpy())
        prepared = np.stack([spec.prepare(image) for image in images])
        predicted.append(logits(loss_predictor, torch.from_numpy(prepared)).numpy())
        labels.append(val.labels.numpy()[rows])
        cells.append(np.full(len(images), cell))
    by_view = dict(zip(names, np.concatenate(found, 1), strict=True))
    return ViewResults(
        by_view, predictor_views, np.concatenate(predicted), np.concatenate(labels), np.concatenate(cells)
    )


def smooth(results: ViewResults, frames: int) -> npt.NDArray[np.float32]:
    """Returns exponential moving averages of the predicted losses within each cell; the first images weigh equally."""
    smoothed = results.predicted.copy()
    for cell in np.unique(results.cell):
        rows = np.flatnonzero(results.cell == cell)
        for index in range(1, len(rows)):
            share = max(1 / frames, 1 / (index + 1))
            smoothed[rows[index]] = (1 - share) * smoothed[rows[index - 1]] + share * smoothed[rows[index]]
    return smoothed


def run_policy(results: ViewResults, text: str, threshold: float = 1.0) -> tuple[Bools, Ints]:
    """Returns (whether each prediction is correct, forward passes) of a policy with an early-exit threshold."""
    policy = replace(parse_policy(text, predictor_views=results.predictor_views), early_exit_threshold=threshold)
    chosen = policy.choose(results.predicted, np.random.default_rng(0), len(results.labels))
    averaged, passes = average_views(policy, chosen, results.views)
    return averaged.argmax(1) == results.labels, passes


def row(name: str, results: ViewResults, correct: Bools, passes: Ints) -> list[str]:
    """Returns a row of a table: mean forward passes and error, each on clean and on corrupted images."""
    clean = results.cell == 0
    cells = [f"{passes[part].mean():.2f}" for part in (clean, ~clean)]
    return [name, *cells, *(f"{100 * (1 - correct[part].mean()):.2f}" for part in (clean, ~clean))]


def curves(results: ViewResults) -> dict[str, list[list[str]]]:
    """Returns the rows of each way to choose the number of views, by its name."""
    center, one = run_policy(results, "center")
    full, four = run_policy(results, FULL)
    gain = results.predicted[:, results.predictor_views.index("identity")] - results.predicted.min(1)
    confidence = probabilities(results.views["identity"]).max(1)
    rows = {"fixed": [row(text, results, *run_policy(results, text)) for text in FIXED_POLICIES]}
    rows["early exit"] = [
        row(f"{FULL}@{threshold:g}", results, *run_policy(results, FULL, threshold)) for threshold in THRESHOLDS
    ]
    rows["gain"] = [
        row(
            f"gain above {least:g} nats",
            results,
            np.where(gain > least, full, center),
            np.where(gain > least, four, one),
        )
        for least in GAINS
    ]
    rows["confidence"] = [
        row(
            f"confidence below {most:g}",
            results,
            np.where(confidence < most, full, center),
            np.where(confidence < most, 1 + four, one),
        )
        for most in THRESHOLDS
    ]
    rows["memory"] = []
    for frames in MEMORIES:
        smoothed = replace(results, predicted=smooth(results, frames))
        for text in ("top:1", FULL):
            rows["memory"].append(row(f"{text}, {frames} frames", smoothed, *run_policy(smoothed, text)))
    return rows


def draw(rows: dict[str, list[list[str]]], path: Path) -> None:
    """Draws error against forward passes on corrupted images."""
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    labels = {
        "early exit": "early exit at a threshold (@)",
        "gain": "four views if the predicted gain is large",
        "confidence": "four further views if the first prediction is not confident",
    }
    for kind, label in labels.items():
        passes, errors = ([float(each[column]) for each in rows[kind]] for column in (2, 4))
        axes.plot(passes, errors, "o-", label=label, ms=4)
    for each in rows["fixed"]:
        axes.plot(float(each[2]), float(each[4]), "ks", ms=5)
        axes.annotate(each[0], (float(each[2]), float(each[4])), (5, 4), textcoords="offset points", fontsize=8)
    label = "forward passes per corrupted image, mean"
    axes.set(xlabel=label, ylabel="error, %", xscale="log", xticks=[1, 2, 4, 12])
    axes.set_xticklabels(["1", "2", "4", "12"])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend()
    with atomic_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)


def main() -> None:
    """Writes the tables and the plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("data")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=100, help="images per corruption and severity")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    rows = curves(view_results(args.checkpoint, args.data, args.images))
    columns = ("forward passes, clean", "forward passes, corrupted", "error, clean, %", "error, corrupted, %")
    head: Sequence[str] = ("", *columns)
    lines = [line for group in rows.values() for line in (*markdown_table([head, *group]), "")]
    with atomic_file(args.folder / "tables.md") as temporary:
        temporary.write_text("\n".join(lines))
    draw(rows, args.folder / "curves.png")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
