"""Measures how much of a row of table 3 (Kapoor et al.) is BatchNorm's: each row under statistics of other images.

    python benchmarks/trainers/batch_norm_rows.py DATA FOLDER CHECKPOINT ... [--start START] [--images 2000]

The weights of a classifier stay as they are; the stored mean and variance of its BatchNorm layers are computed anew
from training images that are clean, blurred, or under Combined+ and Combined- in turn. Rivals: the statistics as they
were trained, and the classifier before its finetuning, START, under the same strengths. A row that recovers under
statistics of its own was learned by the weights, and is lost by the normalization. FOLDER gets a record for each
CHECKPOINT and set of statistics.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Mapping
from pathlib import Path

import torch
from run_records import load_record, new_record, save_record
from studies import errors_in_one_line
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from allweather.runtimes.markdown import markdown_table
from allweather.runtimes.system.memory import keep_freed_memory
from allweather.trainers.augmentations.photometric import COMBINATIONS, TABLE_ROWS, augment, row_augmentations
from allweather.trainers.augmentations.strengths import rows_correct
from allweather.trainers.checkpoint.checkpoint_file import load_checkpoint
from allweather.trainers.data.batches import to_float
from allweather.trainers.data.dataset import LabeledImages
from allweather.trainers.data.registry import open_dataset_of
from allweather.trainers.training.launch import launch

BATCH_SIZE = 250
SEED = 0
AS_TRAINED = "as trained"
STATISTICS: Mapping[str, tuple[tuple[str, ...], ...]] = {  # augmentations of the training images, in equal parts
    AS_TRAINED: (),
    "of clean images": ((),),
    "of combined ones": tuple(COMBINATIONS.values()),
    "of clean and combined ones": ((), *COMBINATIONS.values(), ()),
    "of blurred ones": (("gaussian_blur",),),
}
ROWS = {"clean": (), **{row: row_augmentations(row) for row in TABLE_ROWS}}


@torch.no_grad()
def with_statistics(model: nn.Module, parts: list[Tensor]) -> nn.Module:
    """Returns a copy of a classifier whose BatchNorm layers have the mean statistics of some images.

    Args:
        model: The classifier; it is not changed.
        parts: Images, float [n, 3, h, w] in 0..1; those of each batch are drawn from all parts.
    """
    model = copy.deepcopy(model).train()
    layers = [layer for layer in model.modules() if isinstance(layer, _BatchNorm)]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # the mean over all batches
    images = torch.cat(parts)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(SEED))
    for batch in images[order].split(BATCH_SIZE):
        model(batch)
    return model.eval()


def measure(
    path: Path, strengths: Mapping[str, float], test: LabeledImages, train: Tensor
) -> dict[str, dict[str, float]]:
    """Returns the accuracy in percent of each row, for each set of statistics."""
    classifier = load_checkpoint(path).classifier()
    rng = torch.Generator().manual_seed(SEED)
    accuracies = {}
    for statistics, augmentations in STATISTICS.items():
        parts = [augment(train, names, strengths, rng) for names in augmentations]
        model = with_statistics(classifier, parts) if parts else classifier
        shares = rows_correct(model, test, list(ROWS.values()), strengths).float().mean(1)
        accuracies[statistics] = dict(zip(ROWS, (100 * shares).tolist(), strict=True))
    return accuracies


def main() -> None:
    """Measures what FOLDER has no record of, and prints a table for each checkpoint."""
    keep_freed_memory()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("folder", type=Path)
    parser.add_argument("checkpoints", type=Path, nargs="+")
    parser.add_argument("--start", type=Path, help="the classifier before its finetuning")
    parser.add_argument("--images", type=int, default=2000, help="test images, and as many training images")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    fabric, first = launch(), load_checkpoint(args.checkpoints[0])
    data = open_dataset_of(args.data, first.classes, first.input)
    generator = torch.Generator().manual_seed(SEED)
    test, train = (
        split.take(torch.randperm(len(split), generator=generator)[: args.images]) for split in (data.test, data.train)
    )
    for path in [*([args.start] if args.start else []), *args.checkpoints]:
        paths = {each: args.folder / f"{path.stem}-{each.replace(' ', '-')}.json" for each in STATISTICS}
        if any(load_record(each) is None for each in paths.values()):
            facts = {"images": args.images, "data": args.data, "checkpoint": path.name}
            for each, accuracies in measure(path, first.strengths, test, to_float(train.loaded().images)).items():
                record = new_record("batch-norm-rows", f"{path.stem}: {each}", SEED, facts, accuracies, fabric)
                save_record(paths[each], record)
        records = {each: load_record(each_path) for each, each_path in paths.items()}
        table = [(path.stem, *ROWS)]
        table += [(each, *(f"{record.results[row]:.1f}" for row in ROWS)) for each, record in records.items() if record]
        print("\n".join(["", *markdown_table(table)]), flush=True)


if __name__ == "__main__":
    with errors_in_one_line():
        main()
