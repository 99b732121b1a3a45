"""Measures tables 2 and 3 of the FMA paper (Kapoor et al.) for any checkpoint; the same command resumes a killed run.

    python benchmarks/trainers/finetuning_tables.py START DATA FOLDER [--epochs N] [--learned FILE ...]
        [--layers NAME ...] [--only NAME ...]

Rivals: the starting checkpoint, AT, ST, AugMix, RandAugment, TrivialAugment and learned augmentations. START is a
checkpoint; if it has no augmentation strengths, they are searched first. DATA is a data set such as cifar10:ROOT.
FOLDER gets a checkpoint for each run of the plan and a record of its accuracies, and tables.md with all finished runs.
FILEs are learned augmentations; each adds a run that is named after the file. With --layers there is a run of FMA that
compares only the outputs of these layers, fma-layers-ca. The NAMEs of --only choose the runs to train: st-ca-0 is a
single run, with seed 0, st-ca all runs that differ from it only by their seeds (0 to 2; at-ca and the rivals have only
seed 0), and ia all runs with one augmentation. robust-max-drop is robust with weights between those before and after,
so that clean validation images lose at most half a point.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lightning_fabric import Fabric
from run_records import RunRecord, load_record, new_record, save_record
from studies import errors_in_one_line, mean_and_deviation, open_study_folder

from allweather.evaluation.augmented import augmented_evaluation
from allweather.reports.augmented import row_title
from allweather.runtimes.errors import UsageError
from allweather.runtimes.markdown import markdown_table
from allweather.runtimes.system.atomic_files import atomic_file
from allweather.runtimes.system.memory import keep_freed_memory
from allweather.trainers.augmentations.photometric import AUGMENTATIONS, TABLE_ROWS
from allweather.trainers.checkpoint.checkpoint_file import load_checkpoint
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.data.registry import open_dataset_of
from allweather.trainers.inference.open_model import open_model
from allweather.trainers.methods.finetune import FinetuneSettings, finetune
from allweather.trainers.methods.strength_search import DEFAULT_POINTS, with_strengths
from allweather.trainers.training.launch import launch
from allweather.trainers.training.settings import FitSettings

STUDY, START = "robust-finetuning", "start"
MAX_CLEAN_DROP = 0.5  # percentage points


@dataclass(frozen=True)
class Run:
    """A finetuning of the plan; the runs of a group differ only by their seeds."""

    group: str
    settings: FinetuneSettings

    @property
    def name(self) -> str:
        """Name of its checkpoint."""
        return f"{self.group}-{self.settings.fit.seed}"


def plan(epochs: int, learned: Sequence[Path], layers: Sequence[str]) -> Iterator[Run]:
    """Yields all runs, those of table 3 first."""

    def fit(seed: int) -> FitSettings:
        return FitSettings(epochs=epochs, schedule="cosine", seed=seed)

    for seed in range(3):
        yield Run("robust", FinetuneSettings("robust", fit=fit(seed)))
        yield Run("robust-max-drop", FinetuneSettings("robust", max_clean_drop=MAX_CLEAN_DROP, fit=fit(seed)))
        yield Run("fma-ca", FinetuneSettings("fma", "ca", fit=fit(seed)))
        yield Run("st-ca", FinetuneSettings("st", "ca", fit=fit(seed)))
        if layers:
            yield Run("fma-layers-ca", FinetuneSettings("fma", "ca", layers=tuple(layers), fit=fit(seed)))
        if seed == 0:
            yield Run("at-ca", FinetuneSettings("at", "ca", fit=fit(seed)))
            for name in ("augmix", "randaugment", "trivial"):
                yield Run(name, FinetuneSettings("at", augment=name, fit=fit(seed)))
            for file in learned:
                yield Run(file.name.split(".")[0], FinetuneSettings("at", augment=f"learned:{file}", fit=fit(seed)))
    for only in AUGMENTATIONS:
        for method in ("at", "st", "fma"):
            yield Run(f"{method}-ia-{only}", FinetuneSettings(method, "ia", only=only, fit=fit(0)))  # type: ignore[arg-type]


def check_names(runs: Sequence[Run], names: Sequence[str]) -> None:
    """Checks that each name of `--only` chooses a run.

    Raises:
        UsageError: One chooses none.
    """
    for name in names:
        if not any(is_selected(run, [name]) for run in runs):
            known = ", ".join(run.name for run in runs if "-ia-" not in run.name)
            raise UsageError(f"--only {name} chooses no run; choose among {known}, without the number for all, and ia")


def is_selected(run: Run, names: Sequence[str]) -> bool:
    """Returns whether a run is among the named ones; without names all are."""
    return not names or any(name in (run.name, run.group) or (name == "ia" and "-ia-" in run.group) for name in names)


def measured(
    path: Path, row: str, seed: int, dataset: Dataset, strengths: Mapping[str, float], args: argparse.Namespace,
    fabric: Fabric, start: RunRecord | None = None,
) -> RunRecord:  # fmt: skip
    """Returns the record of a checkpoint; evaluates it on the augmented test images if there is none."""
    file = args.folder / "records" / f"{row}-{seed}.json"
    record = load_record(file)
    if record is None:
        with open_model(path) as target:
            evaluation = augmented_evaluation(target, dataset, dict(strengths))
        results = {name: 100 * each for name, each in evaluation.accuracies.items()}
        facts = {"start": args.start.name, "data": args.data, "train_images": len(dataset.train)}
        facts["epochs"] = 0 if row == START else args.epochs
        results["average"] = 100 * evaluation.average
        if start:
            results["gain"] = results["average"] - start.results["average"]
        record = new_record(STUDY, row, seed, facts, results, fabric)
        file.parent.mkdir(exist_ok=True)
        save_record(file, record)
    return record


def table_3(start: RunRecord, groups: Mapping[str, Sequence[RunRecord]]) -> list[Sequence[str]]:
    """Returns table 3: means over seeds, with deviations where there are several."""
    columns = {group: runs for group, runs in groups.items() if "-ia-" not in group}
    head = ["test accuracy, %", START, *(f"{group} ({len(runs)})" for group, runs in columns.items())]
    rows: list[Sequence[str]] = [head]
    for row in ("clean", *TABLE_ROWS):
        cells = [mean_and_deviation([run.results[row] for run in runs]) for runs in columns.values()]
        rows.append((row_title(row), f"{start.results[row]:.2f}", *cells))
    gains = [[run.results["average"] - start.results["average"] for run in runs] for runs in columns.values()]
    rows.append(("average improvement", "", *(mean_and_deviation(values, "+") for values in gains)))
    return rows


def table_2(start: RunRecord, groups: Mapping[str, Sequence[RunRecord]]) -> list[Sequence[str]]:
    """Returns table 2: clean and augmented accuracy after finetuning on one augmentation each."""
    rows: list[Sequence[str]] = [("test accuracy, %", START, "at/ia", "st/ia", "fma/ia")]
    for only in AUGMENTATIONS:
        for row in ("clean", only):
            cells = []
            for method in ("at", "st", "fma"):
                runs = groups.get(f"{method}-ia-{only}", [])
                cells.append(mean_and_deviation([run.results[row] for run in runs]) if runs else "")
            name = f"{row_title(only)}: {'clean' if row == 'clean' else 'augmented'}"
            rows.append((name, f"{start.results[row]:.2f}", *cells))
    return rows


def main() -> None:
    """Trains the missing runs, evaluates all runs, and writes the tables."""
    keep_freed_memory()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("start", type=Path)
    parser.add_argument("data")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--learned", nargs="*", type=Path, default=[], metavar="FILE")
    parser.add_argument("--layers", nargs="*", default=[], metavar="NAME")
    parser.add_argument("--only", nargs="*", default=[])
    args = parser.parse_args()
    runs = list(plan(args.epochs, args.learned, args.layers))
    check_names(runs, args.only)
    fabric: Fabric = launch()
    first = load_checkpoint(args.start)
    dataset = open_dataset_of(args.data, first.classes, first.input)
    open_study_folder(args.folder, start=args.start, data=args.data, epochs=args.epochs)
    first = with_strengths(first, dataset, DEFAULT_POINTS, keep=args.folder / "strengths.json", fabric=fabric)
    for run in runs:
        out = args.folder / f"{run.name}.safetensors"
        if is_selected(run, args.only) and not out.is_file():
            done = finetune(first, dataset, run.settings, out, fabric=fabric)
            print(run.name, {key: round(value, 4) for key, value in done.metrics.items()}, flush=True)
    start = measured(args.start, START, 0, dataset, first.strengths, args, fabric)
    groups: dict[str, list[RunRecord]] = {}
    for run in runs:
        path = args.folder / f"{run.name}.safetensors"
        if path.is_file():
            seed = run.settings.fit.seed
            record = measured(path, run.group, seed, dataset, first.strengths, args, fabric, start)
            groups.setdefault(run.group, []).append(record)
    text = "\n".join([*markdown_table(table_3(start, groups)), "", *markdown_table(table_2(start, groups)), ""])
    with atomic_file(args.folder / "tables.md") as temporary:
        temporary.write_text(text)
    print(text)


if __name__ == "__main__":
    with errors_in_one_line():
        main()
