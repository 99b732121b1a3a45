"""Measures what averaging over random flips gains: Brownlee's tutorial experiment on test-time augmentation.

    python benchmarks/tta/averaged_views.py DATA [--runs 10]

Rivals: one forward pass on the unchanged image, and the average over the image and its flip. A small network is trained
ten times for three epochs on DATA, such as cifar10:ROOT. Its accuracy is measured with one forward pass on each test
image, and with the average over seven forward passes, each on the image or its horizontal flip at random. The
tutorial's figures for CIFAR-10 are 0.686 (0.010) and 0.698 (0.013).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import nn

from allweather.evaluation.policy_outcomes import run_policies
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.system.device import this_device
from allweather.runtimes.system.memory import keep_freed_memory
from allweather.runtimes.tta.policy_names import parse_policy
from allweather.runtimes.types import Floats, Image
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.data.registry import open_dataset
from allweather.trainers.inference.forward import logits
from allweather.trainers.inference.open_model import EvaluatedModel
from allweather.trainers.training.fit import fit
from allweather.trainers.training.launch import launch
from allweather.trainers.training.settings import FitSettings

LR = 0.1  # as for ResNet-20; the training loop does not have the tutorial's Adam
POLICIES = ("center", "hflip", "set:identity,hflip:3", "set:identity,hflip:7")


def small_network(classes: int) -> nn.Sequential:
    """Returns the tutorial's network: two convolutions with BatchNorm and pooling, a hidden layer of 128."""
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.BatchNorm2d(32), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.BatchNorm2d(64), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(64 * 8 * 8, 128), nn.ReLU(), nn.BatchNorm1d(128), nn.Linear(128, classes),
    )  # fmt: skip


def accuracies(dataset: Dataset, seed: int) -> list[float]:
    """Trains one network, without shifts or flips, and returns its test accuracy under each policy."""
    torch.manual_seed(seed)
    settings = FitSettings(epochs=3, shift=0, hflip=False, seed=seed)
    model, _ = fit(small_network(len(dataset.classes)), dataset, settings, LR, fabric=launch())

    def infer(images: Image) -> Floats:
        return logits(model, torch.from_numpy(images)).numpy()

    target = EvaluatedModel(Path("small network"), "torch fp32", dataset.classes, InputSpec(32, 32), infer, "")
    (clean,) = run_policies(target, dataset, None, [parse_policy(text) for text in POLICIES], seed=seed)
    return [float(correct.mean()) for correct in clean.correct]


def main() -> None:
    """Prints the accuracies of each run, and mean (deviation) of each policy."""
    keep_freed_memory()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--runs", type=int, default=10)
    args = parser.parse_args()
    dataset = open_dataset(args.data, size=32)
    print(f"{this_device().line()}; {dataset.name}, {len(dataset.train)} training images")
    print("seed  " + "  ".join(f"{name:>20}" for name in POLICIES))
    runs = []
    for seed in range(args.runs):
        runs.append(accuracies(dataset, seed))
        print(f"{seed:4}  " + "  ".join(f"{value:20.3f}" for value in runs[-1]), flush=True)
    summary = [
        f"{mean:.3f} ({deviation:.3f})" for mean, deviation in zip(np.mean(runs, 0), np.std(runs, 0), strict=True)
    ]
    print("mean  " + "  ".join(f"{each:>20}" for each in summary))


if __name__ == "__main__":
    main()
