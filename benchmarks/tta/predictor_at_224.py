"""Measures whether the thumbnail that a loss predictor sees of a large image costs it accuracy; resumable.

    python benchmarks/tta/predictor_at_224.py DATA FOLDER [--size 224] [--images 4000] [--test-images 2000]
        [--epochs 10] [--predictor-epochs 10] [--sides 56 112]

Rivals: one view, and the view with the lowest true loss for each image. At 224 px the predictor sees an image of 56 px,
in which noise and JPEG blocks are averaged away. Classifier, images, corruptions and losses are the same in every row;
only what the predictor sees differs: the image reduced to each of --sides; the center of the image at full resolution,
of the first of --sides, which costs the same; and both beside each other. DATA is best a data set of images of at least
--size pixels, such as folder:ROOT; smaller ones are enlarged, and then corrupted at --size. A small network with a
strided first layer is trained from scratch on --images, as many others are for the predictor. FOLDER gets the network,
its losses, a record for each row, and table.md.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

sys.path.append(str(Path(__file__).resolve().parents[1] / "trainers"))  # a script finds only what is beside it
from run_records import RunRecord, load_record, new_record, save_record
from studies import errors_in_one_line, open_study_folder

from allweather.runtimes.markdown import markdown_table
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.system.atomic_files import atomic_file
from allweather.runtimes.system.memory import keep_freed_memory
from allweather.runtimes.tta.views import IDENTITY
from allweather.trainers.checkpoint import tensor_file
from allweather.trainers.corruptions.catalogue import COMMON, CORRUPTIONS
from allweather.trainers.corruptions.corruption import FAMILIES
from allweather.trainers.corruptions.sets.corrupted_copies import CopySettings
from allweather.trainers.data.dataset import Dataset, LabeledImages, Split
from allweather.trainers.data.registry import has_own_size, open_dataset
from allweather.trainers.inference.forward import logits
from allweather.trainers.inference.frozen_classifier import FrozenClassifier
from allweather.trainers.methods.loss_predictor import PredictorSettings, ViewLosses, compute_view_losses, fit_predictor
from allweather.trainers.models.classifier import Normalize
from allweather.trainers.training.fit import fit
from allweather.trainers.training.launch import launch
from allweather.trainers.training.settings import FitSettings
from allweather.trainers.training.uncertainty import mean_interval

GRID = 48  # pixels of the first layer's output, at least, where the images are larger
LR = 0.1


def strided_network(size: int, num_classes: int) -> nn.Module:
    """Builds a network of six convolutions, 33 M multiply-adds at 224 px, whose first layer reduces large images."""
    spec, layers = InputSpec(size, size), []
    shapes = ((3, 16, 7, max(1, size // GRID)), (16, 32, 3, 2), (32, 32, 3, 1), (32, 64, 3, 2), (64, 64, 3, 1))
    for channels_in, channels, kernel, stride in (*shapes, (64, 128, 3, 2)):
        conv = nn.Conv2d(channels_in, channels, kernel, stride, kernel // 2, bias=False)
        layers += [conv, nn.BatchNorm2d(channels), nn.ReLU()]
    return nn.Sequential(
        Normalize(spec.mean, spec.std), *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, num_classes)
    )


def sized(split: LabeledImages, rows: Tensor, size: int) -> Split:
    """Returns some images of a split, enlarged or reduced to a square."""
    some, spec = split.take(rows).loaded(), InputSpec(size, size)
    return Split(torch.from_numpy(np.stack([spec.prepare(image) for image in some.images.numpy()])), some.labels)


def parts_of(data: Dataset, args: argparse.Namespace) -> tuple[Dataset, Split]:
    """Returns the data of the classifier, whose val and test are those of the comparison, and images for predictors."""
    order = torch.randperm(len(data.train), generator=torch.Generator().manual_seed(args.seed))
    count = min(args.images, len(order) // 2)
    test = torch.randperm(len(data.test), generator=torch.Generator().manual_seed(args.seed))[: args.test_images]
    own, others = sized(data.train, order[:count], args.size), sized(data.train, order[count : 2 * count], args.size)
    compared = sized(data.test, test, args.size)
    return dataclasses.replace(
        data, train=own, val=compared.take(torch.arange(0, len(compared), 4)), test=compared
    ), others


def classifier_of(data: Dataset, args: argparse.Namespace, fabric: Fabric) -> nn.Module:
    """Trains the classifier, or reads it from the folder."""
    torch.manual_seed(args.seed)
    model, path = strided_network(args.size, len(data.classes)), args.folder / "classifier.safetensors"
    if not path.is_file():
        settings = FitSettings(epochs=args.epochs, seed=args.seed)
        averaged, _ = fit(model, data, settings, LR, fabric=fabric, resume=args.folder / "classifier.resume")
        tensor_file.write(path, {name: each.contiguous() for name, each in averaged.state_dict().items()}, {})
    model.load_state_dict(dict(tensor_file.read(path)[0]))
    return model.eval()


def reduced(side: int, images: Tensor) -> Tensor:
    """Returns uint8 [n, side, side, 3]: the whole images, reduced as the predictor's input is."""
    spec = InputSpec(side, side)
    return torch.from_numpy(np.stack([spec.prepare(image) for image in images.numpy()]))


def center(side: int, images: Tensor) -> Tensor:
    """Returns uint8 [n, side, side, 3]: the center of the images at full resolution."""
    first = (images.shape[1] - side) // 2
    return images[:, first : first + side, first : first + side].contiguous()


def reduced_and_center(side: int, images: Tensor) -> Tensor:
    """Returns uint8 [n, side, 2 * side, 3]: the whole images, reduced, and to their right their centers."""
    return torch.cat((reduced(side, images), center(side, images)), dim=2)


def predictor_choice(
    see: Callable[[Tensor], Tensor], targets: ViewLosses, test: ViewLosses, data: Dataset, args: argparse.Namespace
) -> tuple[Tensor, float]:
    """Trains a predictor on what it sees of the images; returns its columns for the test images, and its accuracy."""
    seen = dataclasses.replace(targets, images=see(targets.images))
    spec = InputSpec(*seen.images.shape[1:3])
    settings = PredictorSettings(fit=FitSettings(epochs=args.predictor_epochs, shift=0, seed=args.seed))
    model, _, accuracy = fit_predictor(seen, spec, settings, hflip=data.hflip, fabric=launch())
    return logits(model, see(test.images)).argmin(1), accuracy


def errors(test: ViewLosses, columns: Tensor) -> dict[str, float]:
    """Returns the errors in percent by group of images, and what is gained over one view, with 95 % intervals."""
    correct = test.correct.gather(1, columns[:, None])[:, 0].numpy()
    gained = 100.0 * (correct.astype(float) - test.correct[:, test.views.index(IDENTITY.name)].numpy())
    families = np.array([FAMILIES.index(CORRUPTIONS[name].family) for name in COMMON])
    family: npt.NDArray[np.int64] = np.where(test.corruption >= 0, families[test.corruption], -1)
    groups = {"clean": family < 0, "corrupted": family >= 0}
    groups |= {name: family == index for index, name in enumerate(FAMILIES)}
    found = {}
    for name, rows in groups.items():
        gain = mean_interval(gained[rows])
        found |= {name: 100 * float(1 - correct[rows].mean()), f"{name} gain": gain.value}
        found |= {f"{name} gain low": gain.low, f"{name} gain high": gain.high}
    return found


def table(records: Mapping[str, RunRecord]) -> str:
    """Returns the table in Markdown."""
    groups = ("clean", "corrupted", *FAMILIES)
    rows: list[Sequence[str]] = [("error, % (gain over one view, 95 % interval)", *groups)]
    for name, record in records.items():
        found = record.results
        gains = [
            f"{found[f'{each} gain']:+.1f}, {found[f'{each} gain low']:.1f} to {found[f'{each} gain high']:.1f}"
            for each in groups
        ]
        rows.append((name, *(f"{found[each]:.1f} ({gain})" for each, gain in zip(groups, gains, strict=True))))
    return "\n".join([*markdown_table(rows), ""])


def main() -> None:
    """Trains what is missing, and writes the table."""
    keep_freed_memory()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", type=int, default=224, help="side in pixels of the classifier's images")
    parser.add_argument("--images", type=int, default=4000, help="images of the classifier; as many of the predictor")
    parser.add_argument("--test-images", type=int, default=2000)
    parser.add_argument("--epochs", type=int, default=10, help="epochs of the classifier")
    parser.add_argument("--predictor-epochs", type=int, default=10)
    parser.add_argument("--sides", type=int, nargs="+", default=[56, 112], help="sides of what the predictor sees")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    own_size = None if has_own_size(args.data) else args.size  # a whole data set of small images would be enlarged
    data, fabric = open_dataset(args.data, size=own_size), launch()
    study = {name: value for name, value in vars(args).items() if name not in ("folder", "sides")}
    open_study_folder(args.folder, **study)
    data, others = parts_of(data, args)
    frozen = FrozenClassifier.of_module(classifier_of(data, args, fabric), fabric.device)
    view_losses = partial(compute_view_losses, frozen, spec=InputSpec(args.size, args.size), fabric=fabric)
    targets = view_losses(others, copy_settings=CopySettings(dark=0.0), folder=args.folder / "losses")
    test = view_losses(data.test, copy_settings=CopySettings(copies=1, dark=0.0), folder=args.folder / "test-losses")
    rows: dict[str, Callable[[Tensor], Tensor]] = {
        f"top:1, image of {side} px": partial(reduced, side) for side in args.sides
    }
    rows[f"top:1, center of {args.sides[0]} px"] = partial(center, args.sides[0])
    rows[f"top:1, image and center of {args.sides[0]} px"] = partial(reduced_and_center, args.sides[0])
    records: dict[str, RunRecord] = {}
    fixed = {"one view": torch.full((len(test),), test.views.index(IDENTITY.name)), "best view": test.losses.argmin(1)}
    for name in (*fixed, *rows):
        path = args.folder / f"{name.replace(', ', '-').replace(' ', '-').replace(':', '')}.json"
        record = load_record(path)
        if record is None:
            columns, accuracy = (
                (fixed[name], None) if name in fixed else predictor_choice(rows[name], targets, test, data, args)
            )
            found = errors(test, columns) | ({} if accuracy is None else {"val_accuracy": 100 * accuracy})
            record = new_record("predictor-at-224", name, args.seed, study, found, fabric)
            save_record(path, record)
        records[name] = record
    text = table(records)
    with atomic_file(args.folder / "table.md") as temporary:
        temporary.write_text(text)
    print(text)


if __name__ == "__main__":
    with errors_in_one_line():
        main()
