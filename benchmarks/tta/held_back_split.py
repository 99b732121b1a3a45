"""Should a loss predictor learn from its classifier's training images? python benchmarks/tta/held_back_split.py DATA.

A classifier is trained on half of the training pictures. Two predictors are trained, one by its losses on some of them,
one by its losses on as many of the other half, which it has not seen. Both choose views of corrupted validation
pictures.
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
from allweather.runtimes.tta.views import VIEWS
from allweather.trainers.corruptions.sets.corrupted_copies import CopySettings
from allweather.trainers.data.dataset import Dataset, Split
from allweather.trainers.data.registry import open_dataset
from allweather.trainers.methods.loss_predictor.train import PredictorSettings, train_predictor
from allweather.trainers.methods.loss_predictor.view_losses import ViewLosses, view_losses
from allweather.trainers.models.registry import ARCHITECTURES, build_model
from allweather.trainers.training.fit import fit
from allweather.trainers.training.inference import count_correct, logits
from allweather.trainers.training.launch import launch
from allweather.trainers.training.settings import FitSettings

SPEC = InputSpec(32, 32)


def classifier(dataset: Dataset, mine: Split, epochs: int) -> nn.Module:
    """A ResNet-20 that has learned from some pictures alone."""
    torch.manual_seed(0)
    model = build_model("resnet20", len(dataset.classes), SPEC)
    rate = ARCHITECTURES["resnet20"].lr
    found, _ = fit(model, dataclasses.replace(dataset, train=mine), FitSettings(epochs=epochs), rate, fabric=launch())
    return found


def losses(model: nn.Module, split: Split, copies: int) -> ViewLosses:
    """Of every view of corrupted copies."""
    with tempfile.TemporaryDirectory() as folder:
        return view_losses(model, split, SPEC, CopySettings(copies=copies), Path(folder), fabric=launch())


def errors(test: ViewLosses, picked: Tensor) -> str:
    """Percent wrong on clean and on corrupted pictures, where a view was picked for each."""
    wrong = ~test.right.gather(1, picked[:, None])[:, 0]
    clean = test.kind < 0
    return f"{100 * float(wrong[clean].float().mean()):6.2f} {100 * float(wrong[~clean].float().mean()):6.2f}"


def main() -> None:
    """Prints the errors of one look, of each predictor's first choice, and of the best view."""
    keep_freed_memory()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--epochs", type=int, default=15, help="of the classifier")
    parser.add_argument("--pictures", type=int, default=5000, help="that each predictor learns from, 2 copies of each")
    given = parser.parse_args()
    dataset = open_dataset(given.data, size=32)
    order = torch.from_numpy(np.random.default_rng(0).permutation(len(dataset.train)))
    half = len(order) // 2
    own, others = dataset.train.take(order[:half]), dataset.train.take(order[half:])
    model = classifier(dataset, own, given.epochs)
    print(f"{this_device().line()}; {dataset.name}, ResNet-20, {half} pictures, {given.epochs} epochs")
    for name, split in (("its own pictures", own), ("held back", others), ("validation", dataset.val)):
        print(f"accuracy on {name}: {100 * count_correct(model, split, launch()) / len(split):.2f} %")
    test = losses(model, dataset.val, 1)
    print("error, %           clean  corrupted")
    print("one look        ", errors(test, torch.zeros(len(test), dtype=torch.int64)))
    settings = PredictorSettings(fit=FitSettings(epochs=10, shift=0))
    for name, split in (("own pictures", own), ("held back", others)):
        targets = losses(model, split.take(torch.arange(given.pictures)), 2)
        found, *_ = train_predictor(targets, SPEC, settings, hflip=dataset.hflip, fabric=launch())
        print(f"top:1, {name:12}", errors(test, logits(found, test.images).argmin(1)), flush=True)
    print("best single view", errors(test, test.losses.argmin(1)), f"  of {len(VIEWS)}")


if __name__ == "__main__":
    main()
