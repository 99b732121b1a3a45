"""Measures how well influence functions predict the real change of the validation loss.

    python benchmarks/trainers/influence.py CHECKPOINT DATA FOLDER [--damping 0.001] [--samples 200]

Rival: retraining. SAMPLES training images are removed one at a time, and as many are replaced by a shifted and flipped
copy; each time the last layer is fitted again, and the real change is compared with the predicted one. The
inverse-Hessian-vector product by conjugate gradients and by stochastic estimation is compared with the exact solution.
FOLDER gets influence.json and influence.png.
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

from allweather.reports.figure import BLUE, GRAY, png_figure
from allweather.runtimes.system.atomic_files import atomic_file
from allweather.runtimes.system.device import this_device
from allweather.trainers.checkpoint.checkpoint_file import load_checkpoint
from allweather.trainers.data.batches import gather, to_float
from allweather.trainers.data.dataset import Split
from allweather.trainers.data.epoch_plan import plan_epoch
from allweather.trainers.data.registry import open_dataset_of
from allweather.trainers.methods.learned_augmentation import influence
from allweather.trainers.methods.learned_augmentation.estimators import FeatureExtractor

TRAIN_IMAGES, VAL_IMAGES, BATCH_SIZE = 2000, 2000, 500
REMOVED, REPLACED = "removed", "replaced by a shifted copy"


def features(extractor: FeatureExtractor, images: Tensor) -> Tensor:
    """Returns the features of float images in 0..1 with a column of ones, float64 [n, d + 1]."""
    with torch.no_grad():
        parts = [extractor(part) for part in torch.split(images, BATCH_SIZE)]
    return influence.append_one(torch.cat(parts).double())


class Problem:
    """The last layer's training and validation losses, and their influence functions."""

    def __init__(self, extractor: FeatureExtractor, train: Split, val: Split, damping: float) -> None:
        self.train, self.labels, self.damping = features(extractor, to_float(train.images)), train.labels, damping
        self.val, self.val_labels = features(extractor, to_float(val.images)), val.labels
        start = self.train.new_zeros(int(train.labels.max()) + 1, self.train.shape[1])
        self.weight = influence.fit_last_layer(start, self.train, self.labels, damping)
        self.product = influence.hessian_product(self.weight, self.train, damping)
        self.gradient = influence.mean_gradient(self.weight, self.val, self.val_labels)
        self.inverse = influence.conjugate_gradients(self.product, self.gradient)

    def loss_without(self, index: int) -> float:
        """Returns the validation loss after one sample is removed and the others keep their weight of 1 / N."""
        count, others = len(self.train), torch.arange(len(self.train)) != index
        damping = self.damping * count / (count - 1)
        return self._loss(influence.fit_last_layer(self.weight, self.train[others], self.labels[others], damping))

    def loss_with(self, index: int, other: Tensor) -> float:
        """Returns the validation loss after the features of one sample are replaced by others."""
        replaced = self.train.clone()
        replaced[index] = other
        return self._loss(influence.fit_last_layer(self.weight, replaced, self.labels, self.damping))

    def loss(self) -> float:
        """Returns the validation loss of the unchanged training set."""
        return self._loss(self.weight)

    def _loss(self, weight: Tensor) -> float:
        return float(influence.mean_loss(weight, self.val, self.val_labels))


def compare_solvers(problem: Problem) -> dict[str, float]:
    """Returns the relative distances from the exact solution, and the seconds that the solvers take."""
    weight, train, labels = problem.weight, problem.train, problem.labels
    full = hessian(lambda w: influence.mean_loss(w, train, labels, problem.damping), weight)
    exact = torch.linalg.solve(full.reshape(weight.numel(), -1), problem.gradient.flatten()).reshape(weight.shape)
    started = time.monotonic()
    solution = influence.conjugate_gradients(problem.product, problem.gradient)
    middle = time.monotonic()
    rng = torch.Generator().manual_seed(0)
    steps = int(5 * float(train.square().sum(1).max()) / 2 / problem.damping)
    estimate = influence.stochastic_inverse(
        weight, train, problem.damping, problem.gradient, rng, steps=min(steps, 200_000), batch_size=64, repeats=1
    )
    ended = time.monotonic()
    return {
        "conjugate gradients": float((solution - exact).norm() / exact.norm()),
        "conjugate gradients, seconds": middle - started,
        "stochastic": float((estimate - exact).norm() / exact.norm()),
        "stochastic, correlation": float(np.corrcoef(estimate.flatten(), exact.flatten())[0, 1]),
        "stochastic, seconds": ended - middle,
    }


def draw(pairs: dict[str, tuple[list[float], list[float]]]) -> bytes:
    """Returns a PNG with one scatter plot of real over predicted changes for each kind of change."""
    with png_figure(4.6 * len(pairs), 4.4) as (figure, png):
        for axes, (name, (predicted, real)) in zip(
            figure.subplots(1, len(pairs), squeeze=False).flat, pairs.items(), strict=True
        ):
            limit = 1.05 * max(map(abs, (*predicted, *real)))
            axes.plot([-limit, limit], [-limit, limit], color=GRAY, linewidth=1)
            axes.plot(predicted, real, ".", color=BLUE, markersize=5)
            axes.set(xlabel="predicted change of the validation loss", ylabel="real change, after retraining")
            axes.ticklabel_format(style="sci", scilimits=(0, 0))
            axes.set_title(f"{name}: correlation {np.corrcoef(predicted, real)[0, 1]:.4f}", size=10)
    return png.getvalue()


def main() -> None:
    """Measures the changes and writes the files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("data")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--damping", type=float, default=1e-3)
    parser.add_argument("--samples", type=int, default=200)
    args = parser.parse_args()
    start = load_checkpoint(args.checkpoint)
    dataset = open_dataset_of(args.data, start.classes, start.input)
    train = dataset.train.take(torch.linspace(0, len(dataset.train) - 1, min(TRAIN_IMAGES, len(dataset.train))).long())
    val = dataset.val.take(torch.arange(min(VAL_IMAGES, len(dataset.val))))
    extractor = FeatureExtractor(start.classifier())
    problem = Problem(extractor, train, val, args.damping)
    plan = plan_epoch(len(train), len(train), shift=4, hflip=dataset.hflip, seed=1, epoch=0)
    order, shift, hflip = plan.for_step(0, slice(None))
    moved = features(extractor, gather(train.images, train.labels, order.sort().values, shift, hflip)[0])
    own = influence.loss_influence(problem.inverse, problem.weight, problem.train, problem.labels)
    change = influence.loss_influence(problem.inverse, problem.weight, moved, problem.labels) - own
    facts: dict[str, str | float] = {"damping": args.damping, "machine": this_device().line()}
    loss_before, pairs = problem.loss(), {}
    for name, predicted in ((REMOVED, -own / len(train)), (REPLACED, change / len(train))):
        indices = predicted.abs().argsort(descending=True)[:: max(1, len(train) // args.samples)].tolist()
        losses = [
            problem.loss_without(index) if name == REMOVED else problem.loss_with(index, moved[index])
            for index in indices
        ]
        pairs[name] = (predicted[indices].tolist(), [loss - loss_before for loss in losses])
        facts[f"{name}: samples"] = len(indices)
        facts[f"{name}: correlation"] = float(pearsonr(*pairs[name]).statistic)
        facts[f"{name}: rank correlation"] = float(spearmanr(*pairs[name]).statistic)
    facts |= compare_solvers(problem)
    args.folder.mkdir(parents=True, exist_ok=True)
    for file, content in (("influence.json", json.dumps(facts, indent=1).encode()), ("influence.png", draw(pairs))):
        with atomic_file(args.folder / file) as temporary:
            temporary.write_bytes(content)
    print(json.dumps(facts, indent=1))


if __name__ == "__main__":
    main()
