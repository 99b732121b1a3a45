"""Measures how far two halves of the held-out images agree on which warp is better, by number of held-out images.

    python benchmarks/trainers/influence_reliability.py DATA FOLDER CHECKPOINT ... [--fraction 0.1] [--damping 0.001]
        [--held-out 900 5000] [--draws 5] [--size 16]

Rival: chance, whose correlation is 0. The CHECKPOINTs are classifiers that were trained on --fraction of the training
images and have not seen the validation images; they are measured one by one and averaged, in units of their own
deviations. So many of the validation images are held out, in several random draws, each with halves of its own. The
warps are those of the augmentation network as it starts. FOLDER gets the features of each classifier, which are not
computed again, and influence-reliability.json.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import torch
from lightning_fabric import Fabric
from run_records import new_record, save_record
from studies import errors_in_one_line, mean_and_deviation
from torch import Tensor

from allweather.runtimes.system.memory import keep_freed_memory
from allweather.trainers.augmentations.learned.networks import AugmentationNetwork
from allweather.trainers.checkpoint import tensor_file
from allweather.trainers.checkpoint.checkpoint_file import load_checkpoint
from allweather.trainers.data.batches import to_float
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.data.registry import open_dataset
from allweather.trainers.methods.learned_augmentation import influence
from allweather.trainers.methods.learned_augmentation.estimators import FeatureExtractor
from allweather.trainers.methods.learned_augmentation.reliability import NUM_IMAGES, NUM_WARPS, random_halves
from allweather.trainers.methods.learned_augmentation.starting_network import with_statistics
from allweather.trainers.training.launch import launch

BATCH_SIZE = 200
SEED = 0


def features_of(checkpoint: Path, dataset: Dataset, warped: Sequence[Tensor], folder: Path) -> dict[str, Tensor]:
    """Returns features with a column of ones: "train" [n, d + 1], "val" [m, d + 1], "warped" [8 * 400, d + 1]."""
    path = folder / f"{checkpoint.stem}.features.safetensors"
    if not path.is_file():
        extractor = FeatureExtractor(load_checkpoint(checkpoint).classifier())
        found: dict[str, Tensor] = {}
        with torch.no_grad():
            for name, split in (("train", dataset.train), ("val", dataset.val)):
                found[name] = torch.cat([extractor(to_float(batch.images)) for batch in split.batches(BATCH_SIZE)])
            parts = [extractor(part) for images in warped for part in torch.split(images, BATCH_SIZE)]
            found["warped"] = torch.cat(parts)
        tensor_file.write(path, found, {})
    return {name: influence.append_one(values.double()) for name, values in tensor_file.read(path)[0].items()}


class Classifier:
    """The last layer of a classifier, and the influence of the warped images on the loss on held-out images."""

    def __init__(self, features: dict[str, Tensor], dataset: Dataset, rows: Tensor, damping: float) -> None:
        self.features, self.labels, self.val_labels = features, dataset.train.labels, dataset.val.labels
        self.warped_labels = self.labels[rows].repeat(NUM_WARPS)
        start = features["train"].new_zeros(len(dataset.classes), features["train"].shape[1])
        self.weight = influence.fit_last_layer(start, features["train"], self.labels, damping)
        self.product = influence.hessian_product(self.weight, features["train"], damping)

    def preferences(self, held_out: Tensor, halves: Sequence[Tensor]) -> Tensor:
        """Returns the influences on all held-out images and on each half, float64 [3, 8 * 400].

        Each is less its mean over the warps of its image, in units of the deviation of the training images' influences.
        """
        inverses = []
        for part in (held_out, *(held_out[half] for half in halves)):
            gradient = influence.mean_gradient(self.weight, self.features["val"][part], self.val_labels[part])
            inverses.append(influence.conjugate_gradients(self.product, gradient))
        own = influence.loss_influence(inverses[0], self.weight, self.features["train"], self.labels)
        of_warps = torch.stack(
            [
                influence.loss_influence(inverse, self.weight, self.features["warped"], self.warped_labels)
                for inverse in inverses
            ]
        ).unflatten(1, (NUM_WARPS, -1))
        return (of_warps - of_warps.mean(1, keepdim=True)).flatten(1) / own.std()


def correlation(one: Tensor, other: Tensor) -> float:
    """Returns the correlation of two vectors of mean 0."""
    return float(one @ other / (one.norm() * other.norm()))


Results = dict[str, list[float]]


def measure(classifiers: Sequence[Classifier], counts: Sequence[int], draws: int, images: int) -> Results:
    """Returns for each question the correlation of each draw of the held-out images."""
    results: Results = {}
    for count in counts:
        for draw in range(draws):
            held_out = torch.randperm(images, generator=torch.Generator().manual_seed(draw))[:count]
            halves = random_halves(count, draw, halvings=1)
            found = torch.stack([each.preferences(held_out, halves) for each in classifiers])
            for index, (_, one, other) in enumerate(found, 1):
                results.setdefault(f"{count} held out, classifier {index}", []).append(correlation(one, other))
            if len(classifiers) > 1:
                mean = found.mean(0)
                name = f"{count} held out, mean of {len(classifiers)} classifiers"
                results.setdefault(name, []).append(correlation(mean[1], mean[2]))
                for one, other in combinations(range(len(found)), 2):
                    name = f"{count} held out, between classifiers {one + 1} and {other + 1}"
                    results.setdefault(name, []).append(correlation(found[one, 0], found[other, 0]))
    return results


def main() -> None:
    """Computes the missing features, measures, prints and saves."""
    keep_freed_memory()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("folder", type=Path)
    parser.add_argument("checkpoints", type=Path, nargs="+")
    parser.add_argument("--fraction", type=float, default=0.1)
    parser.add_argument("--damping", type=float, default=1e-3)
    parser.add_argument("--held-out", type=int, nargs="*", default=[900, 5000])
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--size", type=int, help="side in pixels of the images, as the classifiers take them")
    args = parser.parse_args()
    fabric: Fabric = launch()
    dataset = open_dataset(args.data, args.size).subset(args.fraction, SEED)
    args.folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(SEED)
    network = with_statistics(AugmentationNetwork("parallel"), dataset.train, SEED, fabric.device)
    rows = torch.linspace(0, len(dataset.train) - 1, min(NUM_IMAGES, len(dataset.train))).long()
    images, rng = to_float(dataset.train.take(rows).loaded().images), torch.Generator().manual_seed(SEED)
    with torch.no_grad():
        warped = [network(images, rng) for _ in range(NUM_WARPS)]
    classifiers = [
        Classifier(features_of(path, dataset, warped, args.folder), dataset, rows, args.damping)
        for path in args.checkpoints
    ]
    results = measure(classifiers, args.held_out, args.draws, len(dataset.val))
    settings: dict[str, object] = {name: getattr(args, name) for name in ("data", "size", "fraction", "damping")}
    for index, path in enumerate(args.checkpoints, 1):
        checkpoint = load_checkpoint(path)
        settings[f"classifier {index}"] = f"{checkpoint.arch}, {checkpoint.metrics}"
    for name, values in results.items():
        print(f"{name}: {mean_and_deviation(values)}")
    means = {name: sum(values) / len(values) for name, values in results.items()}
    record = new_record("influence-reliability", "split halves", SEED, settings, means, fabric)
    save_record(args.folder / "influence-reliability.json", record)


if __name__ == "__main__":
    with errors_in_one_line():
        main()
