"""Compares averaging logits with averaging probabilities over the same views of the same images.

    python benchmarks/tta/averaged_logits.py MODEL DATA CORRUPTED [--precision P] [--val N] [--images N] [--clean N]

Rival: the same policy with the mean of probabilities. MODEL is a checkpoint or a bundle; without a loss predictor only
policies that need none are compared. A policy is chosen on N corrupted validation images of DATA, as by `allweather
tune-policy`. Then each policy runs once on clean test images, and on the corrupted set in the folder CORRUPTED.
Differences have paired 95 % bootstrap intervals over the images. `--images` and `--clean` take the first images of each
cell and of the clean test set.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch

from allweather.runtimes.markdown import markdown_table
from allweather.runtimes.system.device import this_device
from allweather.runtimes.tta.policy import Policy
from allweather.runtimes.tta.policy_names import parse_policy
from allweather.runtimes.tta.views import view
from allweather.runtimes.types import Image
from allweather.trainers.corruptions.catalogue import COMMON, EXTRA
from allweather.trainers.corruptions.corruption import SEVERITIES
from allweather.trainers.corruptions.sets.read import open_corrupted_set
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.inference.open_model import BATCH_SIZE, EvaluatedModel, open_model
from allweather.trainers.policies.average import average_views
from allweather.trainers.policies.comparison import compare_policies, parse_requested
from allweather.trainers.policies.tuning import averaging_logits
from allweather.trainers.training.uncertainty import mean_interval

POLICIES = ("hflip", "all", "top:1+flip", "top:1+flip@0.95", "top:2+flip", "top:2+flip@0.95", "top:3+flip")
GROUPS = {"clean": ("clean",), "common 15": COMMON, "extra 4": EXTRA}

Ints = npt.NDArray[np.int64]
Results = dict[str, npt.NDArray[np.float64]]
"""By group of cells: float64 [n, policies, 2], error and views run of each image, means over the cells of the group."""


def choose(model: EvaluatedModel, dataset: Dataset, count: int) -> list[str]:
    """Chooses a policy on validation images; returns what was compared and chosen, in lines of Markdown."""
    val, hflip = dataset.val.take(torch.arange(min(count, len(dataset.val)))), dataset.hflip
    result = compare_policies(model, val, parse_requested((), model, hflip=hflip), hflip=hflip)
    rows = [("policy", "views", "accuracy on validation images, %")]
    rows += [(each.policy.name, f"{each.mean_views:.2f}", f"{100 * each.accuracy:.2f}") for each in result.results]
    return [*markdown_table(rows), "", *result.selection.sentences(), ""]


def batches_of(
    model: EvaluatedModel, dataset: Dataset, folder: str, count: int, clean: int
) -> Iterator[tuple[str, str, Image, Ints]]:
    """Yields (cell, its corruption, images, labels) of all cells."""
    test = dataset.test.take(torch.arange(min(clean, len(dataset.test))))
    for batch in test.batches(BATCH_SIZE):
        yield "clean", "clean", batch.images.numpy(), batch.labels.numpy()
    corrupted = open_corrupted_set(folder, model.classes, model.input)
    for severity in SEVERITIES:
        for name in corrupted.corruptions:
            images = np.concatenate([*corrupted.batches(name, severity, BATCH_SIZE)])[:count]
            yield f"{name}-{severity}", name, images, corrupted.labels[:count]


def run(model: EvaluatedModel, images: Image, labels: Ints, policies: Sequence[Policy]) -> npt.NDArray[np.float64]:
    """Returns error and views run of each image under each policy, float64 [n, policies, 2]; views run once for all."""
    names = {name for policy in policies for name in policy.views_for(range(len(policy.views)))[0]}
    by_view = {name: model.logits(np.stack([view(name).apply(image) for image in images])) for name in names}
    predicted = model.predict_losses(images) if model.predict_losses else None
    columns = []
    for policy in policies:
        chosen = policy.choose(predicted, np.random.default_rng(0), len(images))
        average, views_run = average_views(policy, chosen, by_view)
        columns.append(np.stack([average.argmax(1) != labels, views_run], 1))
    return np.stack(columns, 1)


def test(
    model: EvaluatedModel, dataset: Dataset, folder: str, policies: Sequence[Policy], count: int, clean: int
) -> Results:
    """Runs all policies on all cells."""
    cells: dict[str, list[npt.NDArray[np.float64]]] = {}
    corruption_of = {}
    for cell, name, images, labels in batches_of(model, dataset, folder, count, clean):
        cells.setdefault(cell, []).append(run(model, images, labels, policies))
        corruption_of[cell] = name
    return {
        group: np.mean([np.concatenate(cells[cell]) for cell in cells if corruption_of[cell] in names], axis=0)
        for group, names in GROUPS.items()
    }


def table(names: Sequence[str], results: Results) -> list[str]:
    """Returns a table in Markdown; policies 2 i and 2 i + 1 are those with name i: probabilities, then logits."""
    head = ["policy", "views, corrupted"]
    for group in GROUPS:
        head += [f"{group}: probabilities", "logits", "difference"]
    rows = [head]
    for index, name in enumerate(names):
        first, second = (results["common 15"][:, 2 * index + part, 1].mean() for part in (0, 1))
        row = [name, " / ".join(dict.fromkeys((f"{first:.2f}", f"{second:.2f}")))]
        for each in results.values():
            errors = 100 * each[:, 2 * index : 2 * index + 2, 0]
            gain = mean_interval(errors[:, 1] - errors[:, 0])
            row += [f"{error:.2f}" for error in errors.mean(0)]
            row.append(f"{gain.value:+.2f} ({gain.low:+.2f} to {gain.high:+.2f})")
        rows.append(row)
    return [*markdown_table(rows)]


def report(model: EvaluatedModel, data: str, folder: str, val: int, count: int, clean: int) -> list[str]:
    """Returns the lines to print."""
    dataset = model.open_data(data)
    chosen = choose(model, dataset, val)
    names = [name for name in POLICIES if model.predict_losses or not name.startswith("top")]
    policies = [
        parse_policy(text, (), model.predictor_views) for name in names for text in (name, averaging_logits(name))
    ]
    results = test(model, dataset, folder, policies, count, clean)
    images = ", ".join(f"{len(each)} images {group}" for group, each in results.items())
    return [f"{model.path}, {model.backend}; {this_device().line()}; {images}", "", *chosen, *table(names, results)]


def main() -> None:
    """Prints the choice on validation images and the table of the test."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("data")
    parser.add_argument("corrupted")
    parser.add_argument("--precision")
    parser.add_argument("--val", type=int, default=5000)
    parser.add_argument("--images", type=int, default=10**9)
    parser.add_argument("--clean", type=int, default=10**9)
    args = parser.parse_args()
    with open_model(args.model, precision=args.precision) as model:
        print("\n".join(report(model, args.data, args.corrupted, args.val, args.images, args.clean)))


if __name__ == "__main__":
    main()
