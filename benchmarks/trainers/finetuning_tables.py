"""Tables 2 and 3 of the FMA paper for a checkpoint with strengths, with our rivals; killed, it goes on where it was.

    python benchmarks/trainers/finetuning_tables.py START DATA FOLDER [--epochs N] [--learned FILE ...] [--only ...]

START is a checkpoint with augmentation strengths (`strength_search.add_strengths` finds them), DATA a data set such as
cifar10:ROOT. FOLDER gets a checkpoint for each run of the plan, and tables.md with the runs that are there. FILEs are
learned augmentations; each gives a run of its name.
NAMEs choose runs: st-ca-0, or st-ca for all seeds, or ia.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from lightning_fabric import Fabric
from studies import in_one_line, keep_to, mean_and_deviation

from allweather.evaluation.augmented import AugmentedEvaluation, evaluate_augmented
from allweather.evaluation.model import open_model
from allweather.reports.augmented import label
from allweather.reports.html import markdown
from allweather.runtimes.system.atomic_files import atomic_file
from allweather.runtimes.system.memory import keep_freed_memory
from allweather.trainers.augmentations.photometric import AUGMENTATIONS, TABLE_ROWS
from allweather.trainers.checkpoint.checkpoint import load_checkpoint
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.data.registry import open_dataset_of
from allweather.trainers.methods.finetune import FinetuneSettings, finetune
from allweather.trainers.training.launch import launch
from allweather.trainers.training.settings import FitSettings


@dataclass(frozen=True)
class Run:
    """A finetuning of the plan; the runs of a group differ by their seeds alone."""

    group: str
    settings: FinetuneSettings

    @property
    def name(self) -> str:
        """Of its checkpoint."""
        return f"{self.group}-{self.settings.fit.seed}"


def plan(epochs: int, learned: Sequence[Path]) -> Iterator[Run]:
    """All runs, those of table 3 first."""

    def fit(seed: int) -> FitSettings:
        return FitSettings(epochs=epochs, schedule="cosine", seed=seed)

    for seed in range(3):
        yield Run("robust", FinetuneSettings("robust", fit=fit(seed)))
        yield Run("fma-ca", FinetuneSettings("fma", "ca", fit=fit(seed)))
        yield Run("st-ca", FinetuneSettings("st", "ca", fit=fit(seed)))
        if seed == 0:
            yield Run("at-ca", FinetuneSettings("at", "ca", fit=fit(seed)))
            for name in ("augmix", "randaugment", "trivial"):
                yield Run(name, FinetuneSettings("at", augment=name, fit=fit(seed)))
            for file in learned:
                yield Run(file.name.split(".")[0], FinetuneSettings("at", augment=f"learned:{file}", fit=fit(seed)))
    for only in AUGMENTATIONS:
        for method in ("at", "st", "fma"):
            yield Run(f"{method}-ia-{only}", FinetuneSettings(method, "ia", only=only, fit=fit(0)))  # type: ignore[arg-type]


def wanted(run: Run, names: Sequence[str]) -> bool:
    """Whether a run is among those that were named."""
    return not names or any(name in (run.name, run.group) or (name == "ia" and "-ia-" in run.group) for name in names)


def measured(path: Path, kept: Path, dataset: Dataset, parameters: dict[str, float]) -> AugmentedEvaluation:
    """A checkpoint on the augmented test pictures, or what was kept of it."""
    if not kept.is_file():
        with open_model(path) as target:
            found = evaluate_augmented(target, dataset, parameters)
        with atomic_file(kept) as beside:
            beside.write_text(json.dumps(asdict(found)))
    return AugmentedEvaluation(**json.loads(kept.read_text()))


def table_3(start: AugmentedEvaluation, groups: dict[str, list[AugmentedEvaluation]]) -> list[Sequence[str]]:
    """Means over seeds, with deviations where there are several."""
    shown = {group: runs for group, runs in groups.items() if "-ia-" not in group}
    head = ["test accuracy, %", "start", *(f"{group} ({len(runs)})" for group, runs in shown.items())]
    rows: list[Sequence[str]] = [head]
    for row in ("clean", *TABLE_ROWS):
        cells = [mean_and_deviation([100 * run.accuracies[row] for run in runs]) for runs in shown.values()]
        rows.append((label(row), f"{100 * start.accuracies[row]:.2f}", *cells))
    gains = [mean_and_deviation([100 * (run.average - start.average) for run in runs], "+") for runs in shown.values()]
    rows.append(("average improvement", "", *gains))
    return rows


def table_2(start: AugmentedEvaluation, groups: dict[str, list[AugmentedEvaluation]]) -> list[Sequence[str]]:
    """Clean and augmented accuracy after finetuning on one augmentation each."""
    rows: list[Sequence[str]] = [("test accuracy, %", "start", "at/ia", "st/ia", "fma/ia")]
    for only in AUGMENTATIONS:
        for row in ("clean", only):
            cells = []
            for method in ("at", "st", "fma"):
                runs = groups.get(f"{method}-ia-{only}", [])
                cells.append(mean_and_deviation([100 * run.accuracies[row] for run in runs]) if runs else "")
            name = f"{label(only)}: {'clean' if row == 'clean' else 'augmented'}"
            rows.append((name, f"{100 * start.accuracies[row]:.2f}", *cells))
    return rows


def main() -> None:
    """Trains what is missing, measures, and writes the tables."""
    keep_freed_memory()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("start", type=Path)
    parser.add_argument("data")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--learned", nargs="*", type=Path, default=[], metavar="FILE")
    parser.add_argument("--only", nargs="*", default=[])
    given = parser.parse_args()
    fabric: Fabric = launch()
    first = load_checkpoint(given.start)
    dataset = open_dataset_of(given.data, first.classes, first.input)
    keep_to(given.folder, start=given.start, data=given.data, epochs=given.epochs)
    runs = list(plan(given.epochs, given.learned))
    for run in runs:
        out = given.folder / f"{run.name}.safetensors"
        if wanted(run, given.only) and not out.is_file():
            done = finetune(first, dataset, run.settings, out, fabric=fabric)
            print(run.name, {key: round(value, 4) for key, value in done.metrics.items()}, flush=True)
    parameters = dict(first.strengths)
    start = measured(given.start, given.folder / "start.json", dataset, parameters)
    groups: dict[str, list[AugmentedEvaluation]] = {}
    for run in runs:
        path = given.folder / f"{run.name}.safetensors"
        if path.is_file():
            groups.setdefault(run.group, []).append(measured(path, path.with_suffix(".json"), dataset, parameters))
    text = "\n".join([*markdown(table_3(start, groups)), "", *markdown(table_2(start, groups)), ""])
    with atomic_file(given.folder / "tables.md") as beside:
        beside.write_text(text)
    print(text)


if __name__ == "__main__":
    with in_one_line():
        main()
