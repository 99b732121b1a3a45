"""Is the influence right? Predicted against real change of the validation loss, by retraining the last layer.

    python benchmarks/trainers/influence.py CHECKPOINT DATA FOLDER [--damping 0.001] [--samples 200]

Takes SAMPLES training pictures out one at a time, and replaces as many by a shifted and mirrored copy, fits the last
layer anew each time, and compares with what influence functions say beforehand. Also solves for the inverse-Hessian
vector product exactly, by conjugate gradients and stochastically. FOLDER gets influence.json and influence.png.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from scipy.stats import pearsonr, spearmanr
from torch import Tensor
from torch.autograd.functional import hessian

from allweather.reports.plots import BLUE, GRAY, png_figure
from allweather.runtimes.system.atomic_files import atomic_file
from allweather.runtimes.system.device import this_device
from allweather.trainers.checkpoint.checkpoint import load_checkpoint
from allweather.trainers.data.batches import gather, plan_epoch, to_float
from allweather.trainers.data.dataset import Split
from allweather.trainers.data.registry import open_dataset_of
from allweather.trainers.methods.learned_augmentation import influence
from allweather.trainers.methods.learned_augmentation.influence_objective import Body

TRAIN, VAL, BATCH = 2000, 2000, 500  # pictures
LEFT = "left out"


def features(body: Body, images: Tensor) -> Tensor:
    """float64 [n, d + 1] of pictures in 0..1."""
    with torch.no_grad():
        return influence.with_one(torch.cat([body(part) for part in torch.split(images, BATCH)]).double())


class Problem:
    """The last layer's training and validation losses, and their influence functions."""

    def __init__(self, body: Body, train: Split, val: Split, damping: float) -> None:
        self.train, self.labels, self.damping = features(body, to_float(train.images)), train.labels, damping
        self.val, self.val_labels = features(body, to_float(val.images)), val.labels
        start = self.train.new_zeros(int(train.labels.max()) + 1, self.train.shape[1])
        self.weight = influence.refit(start, self.train, self.labels, damping)
        self.product = influence.hessian_product(self.weight, self.train, damping)
        self.gradient = influence.mean_gradient(self.weight, self.val, self.val_labels)
        self.inverse = influence.conjugate_gradients(self.product, self.gradient)

    def loss_without(self, number: int) -> float:
        """Validation loss when one sample is left out and the others keep their weight of 1 / N."""
        count, rest = len(self.train), torch.arange(len(self.train)) != number
        damping = self.damping * count / (count - 1)
        return self._loss(influence.refit(self.weight, self.train[rest], self.labels[rest], damping))

    def loss_with(self, number: int, other: Tensor) -> float:
        """Validation loss when one sample has other features."""
        replaced = self.train.clone()
        replaced[number] = other
        return self._loss(influence.refit(self.weight, replaced, self.labels, self.damping))

    def loss(self) -> float:
        """Validation loss as it is."""
        return self._loss(self.weight)

    def _loss(self, weight: Tensor) -> float:
        return float(influence.mean_loss(weight, self.val, self.val_labels))


def solvers(problem: Problem) -> dict[str, float]:
    """Relative distances from the exact solution, and seconds."""
    weight, train, labels = problem.weight, problem.train, problem.labels
    full = hessian(lambda w: influence.mean_loss(w, train, labels, problem.damping), weight)
    exact = torch.linalg.solve(full.reshape(weight.numel(), -1), problem.gradient.flatten()).reshape(weight.shape)
    started = time.monotonic()
    found = influence.conjugate_gradients(problem.product, problem.gradient)
    middle = time.monotonic()
    rng = torch.Generator().manual_seed(0)
    steps = int(5 * float(train.square().sum(1).max()) / 2 / problem.damping)
    estimate = influence.stochastic_inverse(
        weight, train, problem.damping, problem.gradient, rng, steps=min(steps, 200_000), batch=64, repeats=1
    )
    ended = time.monotonic()
    return {
        "conjugate gradients": float((found - exact).norm() / exact.norm()),
        "conjugate gradients, seconds": middle - started,
        "stochastic": float((estimate - exact).norm() / exact.norm()),
        "stochastic, correlation": float(np.corrcoef(estimate.flatten(), exact.flatten())[0, 1]),
        "stochastic, seconds": ended - middle,
    }


def drawn(pairs: dict[str, tuple[list[float], list[float]]]) -> bytes:
    """A PNG with a scatter for each kind: what was said against what came."""
    with png_figure(4.6 * len(pairs), 4.4) as (figure, png):
        for axes, (name, (said, came)) in zip(
            figure.subplots(1, len(pairs), squeeze=False).flat, pairs.items(), strict=True
        ):
            most = 1.05 * max(map(abs, (*said, *came)))
            axes.plot([-most, most], [-most, most], color=GRAY, linewidth=1)
            axes.plot(said, came, ".", color=BLUE, markersize=5)
            axes.set(xlabel="predicted change of the validation loss", ylabel="real change, after retraining")
            axes.ticklabel_format(style="sci", scilimits=(0, 0))
            axes.set_title(f"{name}: correlation {np.corrcoef(said, came)[0, 1]:.4f}", size=10)
    return png.getvalue()


def main() -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("data")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--damping", type=float, default=1e-3)
    parser.add_argument("--samples", type=int, default=200)
    given = parser.parse_args()
    start = load_checkpoint(given.checkpoint)
    dataset = open_dataset_of(given.data, start.classes, start.input)
    train = dataset.train.take(torch.linspace(0, len(dataset.train) - 1, min(TRAIN, len(dataset.train))).long())
    val, body = dataset.val.take(torch.arange(min(VAL, len(dataset.val)))), Body(start.classifier())
    problem = Problem(body, train, val, given.damping)
    draws = plan_epoch(len(train), len(train), shift=4, hflip=dataset.hflip, seed=1, epoch=0)
    order, shift, mirror = draws.for_step(0, slice(None))
    moved = features(body, gather(train, order.sort().values, shift, mirror)[0])
    own = influence.influence(problem.inverse, problem.weight, problem.train, problem.labels)
    change = influence.influence(problem.inverse, problem.weight, moved, problem.labels) - own
    facts: dict[str, str | float] = {"damping": given.damping, "machine": this_device().line()}
    here, pairs = problem.loss(), {}
    for name, said in ((LEFT, -own / len(train)), ("replaced by a shifted copy", change / len(train))):
        some = said.abs().argsort(descending=True)[:: max(1, len(train) // given.samples)].tolist()
        found = [
            problem.loss_without(number) if name == LEFT else problem.loss_with(number, moved[number])
            for number in some
        ]
        pairs[name] = (said[some].tolist(), [loss - here for loss in found])
        facts[f"{name}: samples"] = len(some)
        facts[f"{name}: correlation"] = float(pearsonr(*pairs[name]).statistic)
        facts[f"{name}: rank correlation"] = float(spearmanr(*pairs[name]).statistic)
    facts |= solvers(problem)
    given.folder.mkdir(parents=True, exist_ok=True)
    for file, content in (("influence.json", json.dumps(facts, indent=1).encode()), ("influence.png", drawn(pairs))):
        with atomic_file(given.folder / file) as beside:
            beside.write_bytes(content)
    print(json.dumps(facts, indent=1))


if __name__ == "__main__":
    main()
