"""Compares the learned augmentation with others (Lee et al., CVPR 2020, table 1, 5.2); the same command resumes a run.

    python benchmarks/trainers/learned_augmentation.py DATA FOLDER [--arch resnet20] [--epochs 160] [--fraction 0.1]
        [--size 16] [--seeds 1] [--classifier-epochs 36] [--only ROW ...] [--seed SEED]

Rivals: no augmentation, shifts and flips, TrivialAugment, the network as it starts (chance), and that which adversarial
pre-training ends with (pretrained). Every row is trained for the same number of epochs on the same images. An
augmentation is learned anew for each row and seed, from the validation images, which no row is chosen on: what is
compared are the test images. FOLDER gets each augmentation, a checkpoint and a record for each run, table.md and
table.png; all runs in it must have the same DATA, --arch, --epochs, --fraction, --size and --classifier-epochs. ROWs
choose the rows of the table to train; the table has all finished runs. With --seed the ROWs are trained with this seed
alone, so that several processes can share a folder.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lightning_fabric import Fabric
from run_records import RunRecord, load_record, new_record, save_record
from studies import dot_plot, errors_in_one_line, mean_and_deviation, open_study_folder, seeds

from allweather.evaluation.clean import clean_evaluation
from allweather.reports.html import write_files
from allweather.runtimes.errors import unknown_name
from allweather.runtimes.markdown import markdown_table
from allweather.runtimes.system.memory import keep_freed_memory
from allweather.trainers.augmentations.learned.augmentation import load_augmentation
from allweather.trainers.choices import LEARNED
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.data.registry import open_dataset
from allweather.trainers.inference.open_model import open_model
from allweather.trainers.methods.config import LEARNED_SHARE, TrainConfig
from allweather.trainers.methods.learned_augmentation.learn import learn_augmentation
from allweather.trainers.methods.learned_augmentation.settings import LearnAugmentationSettings
from allweather.trainers.methods.train import train
from allweather.trainers.training.launch import launch
from allweather.trainers.training.settings import FitSettings

SETTINGS = LearnAugmentationSettings(held_out="val", classifiers=2)


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes:
        variants: Variants of each image, as in `TrainConfig`.
        augment: Name of a further augmentation; None for none, or for the learned one.
        learned: How an augmentation is learned; None for none.
        share: Share of the images that a learned augmentation changes; None for the default of `TrainConfig`.
    """

    variants: str = "rp"
    augment: str | None = None
    learned: LearnAugmentationSettings | None = None
    share: float | None = None


# The paper's ablation is the last three rows beside "learned", which has both transforms from one code.
ROWS: Mapping[str, Row] = {
    "none": Row("rh"),
    "shifts and flips": Row(),
    "trivial": Row(augment="trivial"),
    "chance": Row(learned=dataclasses.replace(SETTINGS, gan_epochs=0, epochs=0)),
    "pretrained": Row(learned=dataclasses.replace(SETTINGS, epochs=0)),
    "learned": Row(learned=SETTINGS),
    "as in the paper": Row(learned=dataclasses.replace(SETTINGS, grid=8, color_limit=0.25), share=1.0),
    "serial": Row(learned=dataclasses.replace(SETTINGS, mode="serial")),
    "spatial": Row(learned=dataclasses.replace(SETTINGS, mode="spatial")),
    "appearance": Row(learned=dataclasses.replace(SETTINGS, mode="appearance")),
}


def checkpoint_path(name: str, seed: int, args: argparse.Namespace) -> Path:
    """Returns the path of a run's checkpoint."""
    return Path(args.folder / f"{name.replace(' ', '-')}-{seed}.safetensors")


def augmentation_path(name: str, seed: int, args: argparse.Namespace) -> Path:
    """Returns the path of the augmentation that a row has learned."""
    return checkpoint_path(name, seed, args).with_suffix(".augmentation.safetensors")


def config_of(name: str, seed: int, args: argparse.Namespace, dataset: Dataset, fabric: Fabric) -> TrainConfig:
    """Returns the training config of a row; learns its augmentation if its file does not exist."""
    row, out = ROWS[name], augmentation_path(name, seed, args)
    if row.learned is None:
        return TrainConfig(variants=row.variants, augment=row.augment)
    if not out.is_file():
        started, classifier = time.monotonic(), FitSettings(epochs=args.classifier_epochs, seed=seed)
        settings = dataclasses.replace(row.learned, classifier=classifier)
        learned = learn_augmentation(
            args.arch, dataset, settings, out, fabric=fabric,
            measured=lambda reliability: print(name, seed, reliability, flush=True),
        )  # fmt: skip
        print(name, seed, learned.metrics, f"{time.monotonic() - started:.0f} s", flush=True)
    return TrainConfig(variants=row.variants, augment=f"{LEARNED}{out}", augment_share=row.share)


def train_and_test(name: str, seed: int, args: argparse.Namespace, dataset: Dataset, fabric: Fabric) -> RunRecord:
    """Trains a run and tests it, unless that is done."""
    out = checkpoint_path(name, seed, args)
    record_path = out.with_suffix(".json")
    if (record := load_record(record_path)) is not None:
        return record
    if not out.is_file():
        config = config_of(name, seed, args, dataset, fabric)
        started = time.monotonic()
        fit = FitSettings(epochs=args.epochs, seed=seed, hflip=False if name == "none" else None)
        train([args.arch], dataset, fit, out, fabric=fabric, config=config)
        print(f"{name}, seed {seed}: {time.monotonic() - started:.0f} s", flush=True)
    with open_model(out) as target:
        results = {
            "error": 100 - 100 * clean_evaluation(target, dataset).accuracy,
            "val_accuracy": 100 * target.history[-1]["val_accuracy"],
        }
    row = ROWS[name]
    facts: dict[str, object] = {
        "arch": args.arch, "epochs": args.epochs, "train_images": len(dataset.train), "data": args.data,
        "size": args.size, "variants": row.variants, "augment": row.augment,
    }  # fmt: skip
    if row.learned is not None:
        learned = load_augmentation(augmentation_path(name, seed, args))
        names = ("mode", "grid", "color_limit", "held_out", "classifiers", "gan_epochs", "epochs")
        facts |= {f"augmentation_{each}": learned.settings[each] for each in names}
        facts |= {"classifier_epochs": args.classifier_epochs, "augment_share": row.share or LEARNED_SHARE}
        results |= learned.metrics
    record = new_record("learned-augmentation", name, seed, facts, results, fabric)
    save_record(record_path, record)
    print(name, seed, results, flush=True)
    return record


def main() -> None:
    """Trains the missing runs, evaluates all runs, and writes the table and the plot."""
    keep_freed_memory()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--arch", default="resnet20")
    parser.add_argument("--epochs", type=int, default=160)
    parser.add_argument("--classifier-epochs", type=int, default=36, help="of the first stage")
    parser.add_argument("--fraction", type=float, default=0.1)
    parser.add_argument("--size", type=int, help="side in pixels of the images; as they are if not given")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--only", nargs="*", default=[], metavar="ROW", help="rows of the table to train")
    parser.add_argument("--seed", type=int, help="the only seed of these rows")
    args = parser.parse_args()
    for name in args.only:
        if name not in ROWS:
            raise unknown_name("row", name, ROWS)
    fabric, dataset = launch(), open_dataset(args.data, args.size).subset(args.fraction, 0)
    shared = ("data", "arch", "epochs", "classifier_epochs", "fraction", "size")
    open_study_folder(args.folder, **{name: getattr(args, name) for name in shared})
    results: dict[str, list[RunRecord]] = {}
    for name in ROWS:
        count = args.seeds if name in (args.only or ROWS) else 0
        for seed in seeds(
            count,
            lambda seed, name=name: checkpoint_path(name, seed, args).is_file(),  # type: ignore[misc]
            args.seed if name in args.only else None,
        ):
            results.setdefault(name, []).append(train_and_test(name, seed, args, dataset, fabric))
    table: list[Sequence[str]] = [(f"{args.arch}, {len(dataset.train)} images, {args.epochs} epochs", "test error, %")]
    errors = {name: [run.results["error"] for run in runs] for name, runs in results.items()}
    table += [(name, mean_and_deviation(values)) for name, values in errors.items()]
    text = "\n".join([*markdown_table(table), ""])
    write_files(args.folder, {"table.md": text, "table.png": dot_plot(errors, "test error, %")})
    print(text)


if __name__ == "__main__":
    with errors_in_one_line():
        main()
