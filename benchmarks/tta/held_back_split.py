"""Measures whether a loss predictor should be trained on the classifier's own training images.

    python benchmarks/tta/held_back_split.py DATA [--epochs 15] [--images 5000]

Rivals: the unchanged image, and the view with the lowest true loss for each image. A classifier is trained on half of
the training images of DATA. Two loss predictors are trained: one with the classifier's losses on some of these images,
the other with its losses on as many images of the other half, which it was not trained on. Both then choose views of
corrupted validation images.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.system.device import this_device
from allweather.runtimes.system.memory import keep_freed_memory
from allweather.trainers.corruptions.sets.corrupted_copies import CopySettings
from allweather.trainers.data.dataset import Dataset, Split
from allweather.trainers.data.registry import open_dataset
from allweather.trainers.inference.forward import count_correct, logits
from allweather.trainers.inference.frozen_classifier import FrozenClassifier
from allweather.trainers.methods.loss_predictor import (
    PredictorSettings,
    ViewLosses,
    compute_view_losses,
    fit_predictor,
)
from allweather.trainers.models.architectures import ARCHITECTURES
from allweather.trainers.models.registry import build_model
from allweather.trainers.training.fit import fit
from allweather.trainers.training.launch import launch
from allweather.trainers.training.settings import FitSettings

SPEC = InputSpec(32, 32)


def train_classifier(dataset: Dataset, train: Split, epochs: int) -> nn.Module:
    """Trains a ResNet-20 on a part of the training images."""
    torch.manual_seed(0)
    model = build_model("resnet20", len(dataset.classes), SPEC)
    lr = ARCHITECTURES["resnet20"].lr
    data = dataclasses.replace(dataset, train=train)
    averaged, _ = fit(model, data, FitSettings(epochs=epochs), lr, fabric=launch())
    return averaged


def losses_of(model: nn.Module, split: Split, copies: int) -> ViewLosses:
    """Computes the losses of a model on every view of corrupted copies of the images."""
    with tempfile.TemporaryDirectory() as folder:
        fabric = launch()
        classifier = FrozenClassifier.of_module(model, fabric.device)
        return compute_view_losses(classifier, split, SPEC, CopySettings(copies=copies), Path(folder), fabric=fabric)


def errors(test: ViewLosses, columns: Tensor) -> str:
    """Returns the errors in percent on clean and on corrupted images, given the column of each image's view."""
    incorrect = ~test.correct.gather(1, columns[:, None])[:, 0]
    clean = test.corruption < 0
    return " ".join(f"{100 * float(incorrect[part].float().mean()):6.2f}" for part in (clean, ~clean))


def main() -> None:
    """Prints the errors of the unchanged image, of each predictor's first choice, and of the best view."""
    keep_freed_memory()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--epochs", type=int, default=15, help="epochs of the classifier")
    parser.add_argument("--images", type=int, default=5000, help="training images of each predictor, in 2 copies")
    args = parser.parse_args()
    dataset = open_dataset(args.data, size=32)
    order = torch.from_numpy(np.random.default_rng(0).permutation(len(dataset.train)))
    half = len(order) // 2
    own, others = dataset.train.take(order[:half]), dataset.train.take(order[half:])
    model = train_classifier(dataset, own, args.epochs)
    print(f"{this_device().line()}; {dataset.name}, ResNet-20, {half} images, {args.epochs} epochs")
    for name, split in (("its own images", own), ("held back", others), ("validation", dataset.val)):
        print(f"accuracy on {name}: {100 * count_correct(model, split, launch()) / len(split):.2f} %")
    test = losses_of(model, dataset.val, 1)
    print("error, %           clean  corrupted")
    print("unchanged image ", errors(test, torch.zeros(len(test), dtype=torch.int64)))
    settings = PredictorSettings(fit=FitSettings(epochs=10, shift=0))
    for name, split in (("own images", own), ("held back", others)):
        targets = losses_of(model, split.take(torch.arange(args.images)), 2)
        predictor, *_ = fit_predictor(targets, SPEC, settings, hflip=dataset.hflip, fabric=launch())
        print(f"top:1, {name:12}", errors(test, logits(predictor, test.images).argmin(1)), flush=True)
    print("best single view", errors(test, test.losses.argmin(1)), f"  of {len(test.views)}")


if __name__ == "__main__":
    main()
