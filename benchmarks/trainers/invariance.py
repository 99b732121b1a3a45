"""Runs the studies of augmentation-invariant training (Chen et al., ICCVW 2019); the same command resumes a killed run.

    python benchmarks/trainers/invariance.py STUDY DATA FOLDER [--arch resnet32] [--epochs 160] [--seeds 1]
        [--fraction 1] [--size 16] [--only ROW ...] [--seed SEED]

All train by the recipe of the paper, ait-paper. Rivals: plain training for as many epochs; plain training for twice as
long, which has as many steps of 128 images as AIT and costs as much, because an epoch of AIT takes each image twice;
and deep mutual learning. STUDY is methods (tables 1 and 2), noise (table 3), data (table 4), layers (figure 3), weight
(figure 4) or shift (table 5). DATA is a data set such as cifar100:ROOT. FOLDER gets a checkpoint and a record for each
run, STUDY.md and STUDY.png; all runs in it must have the same DATA, --epochs, --fraction and --size. ROWs choose the
rows of the table to train; the table has all finished runs. With --seed the ROWs are trained with this seed alone, so
that several processes can share a folder.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lightning_fabric import Fabric
from run_records import RunRecord, load_record, new_record, save_record
from studies import dot_plot, errors_in_one_line, mean_and_deviation, open_study_folder, seeds

from allweather.evaluation.shifted import TEST_SETS, shifted_evaluation
from allweather.reports.html import write_files
from allweather.runtimes.errors import unknown_name
from allweather.runtimes.markdown import markdown_table
from allweather.runtimes.system.memory import keep_freed_memory
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.data.registry import open_dataset
from allweather.trainers.inference.open_model import open_model
from allweather.trainers.methods.config import PLAIN, TrainConfig
from allweather.trainers.methods.recipes import recipe
from allweather.trainers.methods.train import train
from allweather.trainers.training.launch import launch

AIT = TrainConfig("ait")


@dataclass(frozen=True)
class Run:
    """A row of a table; runs of the same name differ only by their seeds.

    Attributes:
        name: Name of the row.
        config: Training config.
        num_networks: Number of jointly trained networks.
        duration: Factor for the number of epochs.
        fraction: Fraction of the training images.
        noise: Fraction of the training labels that are random.
        batch_size: Number of variants in a batch.
    """

    name: str
    config: TrainConfig
    num_networks: int = 1
    duration: int = 1
    fraction: float = 1.0
    noise: float = 0.0
    batch_size: int = 128


def plan(study: str, fraction: float) -> Iterator[Run]:
    """Yields the runs of a study."""
    if study == "methods":
        yield Run("plain", PLAIN, fraction=fraction)
        yield Run("plain, twice as long", PLAIN, duration=2, fraction=fraction)
        yield Run("ait", AIT, fraction=fraction)
        yield Run("ait, 128 images twice", AIT, fraction=fraction, batch_size=256)
        yield Run("dml", TrainConfig("dml"), num_networks=2, fraction=fraction)
        yield Run("multi-ait", TrainConfig("multi-ait"), num_networks=2, fraction=fraction)
        yield Run("multi-ait, lambda 3", TrainConfig("multi-ait", loss_weight=3.0), num_networks=2, fraction=fraction)
    elif study in ("noise", "data"):
        for share in (0.2, 0.5, 0.8) if study == "noise" else (0.1, 0.3, 0.5):
            for config in (PLAIN, AIT):
                name = f"{config.method}, {100 * share:.0f} % of the {'labels random' if study == 'noise' else 'data'}"
                options = {"noise": share, "fraction": fraction} if study == "noise" else {"fraction": share}
                yield Run(name, config, **options)
    elif study == "weight":
        for weight in (0.0, 0.5, 1.0, 2.0, 4.0):
            yield Run(f"lambda {weight:g}", replace(AIT, loss_weight=weight), fraction=fraction)
    elif study == "layers":
        yield Run("plain", PLAIN, fraction=fraction)
        for layer in ("map", "feature", "logits"):
            for metric in ("kl", "euclidean", "both"):
                yield Run(f"{metric} on {layer}", replace(AIT, metric=metric, layer=layer), fraction=fraction)  # type: ignore[arg-type]
    else:
        for variants in ("rp", "rg", "rc", "rpgc"):
            yield Run(f"plain {variants}", replace(PLAIN, variants=variants), fraction=fraction)
            yield Run(f"ait {variants}", replace(AIT, variants=variants), fraction=fraction)
        yield Run("ait rp,rg", replace(AIT, variants="rp,rg"), fraction=fraction)


def checkpoint_path(run: Run, seed: int, args: argparse.Namespace) -> Path:
    """Returns the path of a run's checkpoint."""
    name = run.name.replace(", ", "-").replace(" ", "-").replace("%", "").replace(",", "+")
    return Path(args.folder / f"{args.study}-{name}-{args.arch}-{seed}.safetensors")


def train_and_test(run: Run, seed: int, args: argparse.Namespace, dataset: Dataset, fabric: Fabric) -> RunRecord:
    """Trains a run and evaluates its first network on the four test sets, unless that is done."""
    out = checkpoint_path(run, seed, args)
    record_path = out.with_suffix(".json")
    if (record := load_record(record_path)) is not None:
        return record
    settings = replace(recipe("ait-paper"), epochs=run.duration * args.epochs, batch_size=run.batch_size, seed=seed)
    data = dataset.subset(run.fraction, 0).with_label_noise(run.noise, 0)
    if not out.is_file():
        started = time.monotonic()
        train([args.arch] * run.num_networks, data, settings, out, fabric=fabric, config=run.config)
        print(f"{run.name}, seed {seed}: {time.monotonic() - started:.0f} s", flush=True)
    with open_model(out) as target:
        accuracies = {name: 100 * value for name, value in shifted_evaluation(target, dataset).accuracies.items()}
    facts = {"arch": args.arch, "epochs": settings.epochs, "train_images": len(data.train)}
    facts |= {"data": args.data, "size": args.size}
    facts |= {"batch_size": run.batch_size} if run.batch_size != 128 else {}
    record = new_record(f"invariance-{args.study}", run.name, seed, facts | run.config.as_dict(), accuracies, fabric)
    save_record(record_path, record)
    return record


def main() -> None:
    """Trains the missing runs, evaluates all runs, and writes the table and the plot."""
    keep_freed_memory()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", choices=("methods", "noise", "data", "layers", "weight", "shift"))
    parser.add_argument("data")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--arch", default="resnet32")
    parser.add_argument("--epochs", type=int, default=160)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--fraction", type=float, default=1.0, help="fraction of the training images")
    parser.add_argument("--size", type=int, help="side in pixels of the images; as they are if not given")
    parser.add_argument("--only", nargs="*", default=[], help="rows of the table to train")
    parser.add_argument("--seed", type=int, help="the only seed of these rows")
    args = parser.parse_args()
    runs = {run.name: run for run in plan(args.study, args.fraction)}
    for name in args.only:
        if name not in runs:
            raise unknown_name("row", name, runs)
    fabric, dataset = launch(), open_dataset(args.data, args.size)
    open_study_folder(args.folder, data=args.data, epochs=args.epochs, fraction=args.fraction, size=args.size)
    results: dict[str, list[Mapping[str, float]]] = {}
    for name, run in runs.items():
        count = args.seeds if name in (args.only or runs) else 0
        for seed in seeds(
            count,
            lambda seed, run=run: checkpoint_path(run, seed, args).is_file(),  # type: ignore[misc]
            args.seed if name in args.only else None,
        ):
            results.setdefault(name, []).append(train_and_test(run, seed, args, dataset, fabric).results)
    rows: list[Sequence[str]] = [(f"{args.arch}, test accuracy, %", *TEST_SETS)]
    rows += [
        (name, *(mean_and_deviation([run[each] for run in runs]) for each in TEST_SETS))
        for name, runs in results.items()
    ]
    text = "\n".join([*markdown_table(rows), ""])
    originals = {name: [run["original"] for run in runs] for name, runs in results.items()}
    plot = dot_plot(originals, "test accuracy, %")
    write_files(args.folder, {f"{args.study}.md": text, f"{args.study}.png": plot})
    print(text)


if __name__ == "__main__":
    with errors_in_one_line():
        main()
