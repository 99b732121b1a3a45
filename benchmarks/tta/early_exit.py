"""When to look again, and when to stop: error against looks, on validation pictures.

    python benchmarks/tta/early_exit.py CKPT DATA FOLDER [--pictures N]

CKPT holds a classifier and its loss predictor (`--loss squared`, which predicts nats). N validation pictures are
corrupted in each of 19 ways at five severities, and three ways to save looks are followed: stop where the vote is
settled; look four times only where the predicted gain is large; look four times more only where one look is unsure.
Then predictions are averaged over the pictures of a cell, as over a stream. FOLDER gets curves.png and tables.md.
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

from allweather.evaluation.policy_outcomes import vote
from allweather.reports.html import markdown
from allweather.runtimes.system.atomic_files import atomic_file
from allweather.runtimes.tta.aggregate import probabilities
from allweather.runtimes.tta.policy import parse_policy
from allweather.runtimes.tta.views import VIEWS, view
from allweather.trainers.checkpoint.checkpoint import load_checkpoint
from allweather.trainers.corruptions.catalogue import CORRUPTIONS, corrupt
from allweather.trainers.corruptions.corruption import SEVERITIES
from allweather.trainers.data.registry import open_dataset_of
from allweather.trainers.training.inference import logits

FULL = parse_policy("top:2+flip")
POINTS = ("center", "hflip", "all", "top:1", "top:1+flip", "top:2+flip")
SHARES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.999)
GAINS = (0.0, 0.1, 0.25, 0.5, 1.0, 2.0)  # nats
MEMORIES = (1, 2, 4, 8, 16, 32)  # frames
SEED = 7

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ViewProbabilities:
    """Of all cells, one after the other: probabilities by view, predicted losses, labels, number of the cell."""

    views: dict[str, npt.NDArray[np.float64]]
    predicted: npt.NDArray[np.float32]
    labels: Ints
    cell: Ints


def answered(path: Path, data: str, count: int) -> ViewProbabilities:
    """Corrupts validation pictures and asks about every view; cell 0 is clean, and five times as large."""
    start = load_checkpoint(path)
    if start.predictor is None:
        raise SystemExit(f"{path} has no loss predictor; allweather train-predictor trains one")
    val = open_dataset_of(data, start.classes, start.input).val
    model, loss_predictor, seen = start.classifier(), start.predictor.model(), start.predictor.input
    names, _ = parse_policy(f"top:{len(VIEWS)}+flip").views_for(range(len(VIEWS)))  # every view, and mirrored
    found, predicted, labels, numbers = [], [], [], []
    for number, (kind, severity) in enumerate(
        [("", 0), *((kind, level) for kind in CORRUPTIONS for level in SEVERITIES)]
    ):
        rng = np.random.default_rng([SEED, number])
        rows = rng.choice(len(val), count, replace=False) if kind else np.arange(min(len(val), 5 * count))
        images = val.images[torch.from_numpy(rows)].numpy()
        if kind:
            images = corrupt(images, kind, severity, rng)
        looked = (torch.from_numpy(np.stack([view(name).apply(image) for image in images])) for name in names)
        found.append(probabilities(torch.stack([logits(model, each) for each in looked]).numpy()))
        small = np.stack([seen.prepare(image) for image in images])
        predicted.append(logits(loss_predictor, torch.from_numpy(small)).numpy())
        labels.append(val.labels.numpy()[rows])
        numbers.append(np.full(len(images), number))
    together = dict(zip(names, np.concatenate(found, 1), strict=True))
    return ViewProbabilities(together, np.concatenate(predicted), np.concatenate(labels), np.concatenate(numbers))


def smoothed(answers: ViewProbabilities, frames: int) -> npt.NDArray[np.float32]:
    """Exponential mean of predictions over the pictures of a cell, the first of them evenly."""
    out = answers.predicted.copy()
    for number in np.unique(answers.cell):
        rows = np.flatnonzero(answers.cell == number)
        for place in range(1, len(rows)):
            share = max(1 / frames, 1 / (place + 1))
            out[rows[place]] = (1 - share) * out[rows[place - 1]] + share * out[rows[place]]
    return out


def followed(answers: ViewProbabilities, text: str, share: float = 1.0) -> tuple[npt.NDArray[np.bool_], Ints]:
    """(whether right, looks) of a policy that stops at a share of the vote."""
    policy = replace(parse_policy(text), early_exit_threshold=share)
    chosen = policy.choose(answers.predicted, np.random.default_rng(0), len(answers.labels))
    votes, runs = vote(policy, chosen, answers.views)
    return votes.argmax(1) == answers.labels, runs


def row(name: str, answers: ViewProbabilities, right: npt.NDArray[np.bool_], looks: Ints) -> list[str]:
    """Looks and errors, clean and corrupted."""
    clean = answers.cell == 0
    shown = [f"{looks[part].mean():.2f}" for part in (clean, ~clean)]
    return [name, *shown, *(f"{100 * (1 - right[part].mean()):.2f}" for part in (clean, ~clean))]


def curves(answers: ViewProbabilities) -> dict[str, list[list[str]]]:
    """Rows of each way, by its name."""
    once, one = followed(answers, "center")
    full, four = followed(answers, FULL.name)
    gain = answers.predicted[:, 0] - answers.predicted.min(1)
    sure = answers.views["identity"].max(1)
    found = {"fixed": [row(text, answers, *followed(answers, text)) for text in POINTS]}
    found["settled"] = [
        row(f"{FULL.name}@{share:g}", answers, *followed(answers, FULL.name, share)) for share in SHARES
    ]
    found["gain"] = [
        row(f"gain above {gap:g} nats", answers, np.where(gain > gap, full, once), np.where(gain > gap, four, one))
        for gap in GAINS
    ]
    found["unsure"] = [
        row(
            f"one look below {share:g}",
            answers,
            np.where(sure < share, full, once),
            np.where(sure < share, 1 + four, one),
        )
        for share in SHARES
    ]
    found["memory"] = []
    for frames in MEMORIES:
        steady = replace(answers, predicted=smoothed(answers, frames))
        for text in ("top:1", FULL.name):
            found["memory"].append(row(f"{text}, {frames} frames", steady, *followed(steady, text)))
    return found


def draw(found: dict[str, list[list[str]]], path: Path) -> None:
    """Error against looks on corrupted pictures."""
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    names = {
        "settled": "stop where the vote is settled (@)",
        "gain": "four looks where the predicted gain is large",
        "unsure": "four more looks where one is unsure",
    }
    for kind, label in names.items():
        axes.plot(
            [float(each[2]) for each in found[kind]], [float(each[4]) for each in found[kind]], "o-", label=label, ms=4
        )
    for each in found["fixed"]:
        axes.plot(float(each[2]), float(each[4]), "ks", ms=5)
        axes.annotate(each[0], (float(each[2]), float(each[4])), (5, 4), textcoords="offset points", fontsize=8)
    axes.set(xlabel="looks at a corrupted picture, mean", ylabel="error, %", xscale="log", xticks=[1, 2, 4, 12])
    axes.set_xticklabels(["1", "2", "4", "12"])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend()
    with atomic_file(path) as beside:
        figure.savefig(beside, format="png", dpi=120)


def main() -> None:
    """Writes the tables and the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("data")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pictures", type=int, default=100)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    found = curves(answered(given.checkpoint, given.data, given.pictures))
    head: Sequence[str] = ("", "looks, clean", "looks, corrupted", "error, clean, %", "error, corrupted, %")
    lines = [line for rows in found.values() for line in (*markdown([head, *rows]), "")]
    with atomic_file(given.folder / "tables.md") as beside:
        beside.write_text("\n".join(lines))
    draw(found, given.folder / "curves.png")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
