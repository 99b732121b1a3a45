"""The studies of Chen et al. (ICCVW 2019): augmentation-invariant training beside plain, run by run; resumable.

    python benchmarks/trainers/invariance.py STUDY DATA FOLDER [--arch resnet32] [--epochs 36] [--seeds 1]
        [--fraction 1] [--only ROW ...]

FOLDER keeps to one DATA, --epochs and --fraction. ROWs choose what is trained; the table has all that is there.
STUDY is methods (tables 1 and 2), noise (table 3), data (table 4), layers (figure 3), weight (figure 4) or transfer
(table 5). DATA is a data set such as cifar100:ROOT. FOLDER gets a checkpoint for each run, STUDY.md and STUDY.png. A
step of ait shows each picture twice; "plain, twice as long" is what that costs. Killed, it goes on where it was.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lightning_fabric import Fabric
from studies import dots, in_one_line, keep_to, mean_and_deviation, seeds

from allweather.evaluation.model import open_model
from allweather.evaluation.shifted import SETS, evaluate_shifted
from allweather.reports.html import markdown, write
from allweather.runtimes.errors import unknown_name
from allweather.runtimes.system.atomic_files import atomic_file
from allweather.runtimes.system.memory import keep_freed_memory
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.data.registry import open_dataset
from allweather.trainers.methods.config import PLAIN, TrainConfig
from allweather.trainers.methods.train import train
from allweather.trainers.training.launch import launch
from allweather.trainers.training.settings import FitSettings

AIT = TrainConfig("ait")


@dataclass(frozen=True)
class Run:
    """A row of a table; runs of a name differ by their seeds alone."""

    name: str
    config: TrainConfig
    networks: int = 1
    longer: int = 1
    fraction: float = 1.0
    noise: float = 0.0


def plan(study: str, fraction: float) -> Iterator[Run]:
    """The runs of a study."""
    if study == "methods":
        yield Run("plain", PLAIN, fraction=fraction)
        yield Run("plain, twice as long", PLAIN, longer=2, fraction=fraction)
        yield Run("ait", AIT, fraction=fraction)
        yield Run("dml", TrainConfig("dml"), networks=2, fraction=fraction)
        yield Run("multi-ait", TrainConfig("multi-ait"), networks=2, fraction=fraction)
    elif study in ("noise", "data"):
        for share in (0.2, 0.5, 0.8) if study == "noise" else (0.1, 0.3, 0.5):
            for config in (PLAIN, AIT):
                name = f"{config.method}, {100 * share:.0f} % of the {'labels wrong' if study == 'noise' else 'data'}"
                wanted = {"noise": share, "fraction": fraction} if study == "noise" else {"fraction": share}
                yield Run(name, config, **wanted)
    elif study == "weight":
        for weight in (0.0, 0.5, 1.0, 2.0, 4.0):
            yield Run(f"lambda {weight:g}", replace(AIT, weight=weight), fraction=fraction)
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


def place(run: Run, seed: int, given: argparse.Namespace) -> Path:
    """Of its checkpoint."""
    name = run.name.replace(", ", "-").replace(" ", "-").replace("%", "").replace(",", "+")
    return Path(given.folder / f"{given.study}-{name}-{given.arch}-{seed}.safetensors")


def accuracies(path: Path, dataset: Dataset) -> dict[str, float]:
    """On the four test sets; kept beside the checkpoint."""
    kept = path.with_suffix(".json")
    if not kept.is_file():
        with open_model(path) as target:
            found = dict(evaluate_shifted(target, dataset).accuracies)
        with atomic_file(kept) as beside:
            beside.write_text(json.dumps(found))
    measured: dict[str, float] = json.loads(kept.read_text())
    return measured


def trained(run: Run, seed: int, given: argparse.Namespace, dataset: Dataset, fabric: Fabric) -> dict[str, float]:
    """Trains a run if it is not there, and measures its first network."""
    out = place(run, seed, given)
    if not out.is_file():
        data = dataset.subset(run.fraction, 0).with_label_noise(run.noise, 0)
        settings = FitSettings(epochs=run.longer * given.epochs, seed=seed)
        made = train([given.arch] * run.networks, data, settings, out, fabric=fabric, config=run.config)
        out.with_suffix(".json").unlink(missing_ok=True)  # of one that was there before
        print(run.name, seed, made[0].metrics, flush=True)
    return accuracies(out, dataset)


def main() -> None:
    """Trains what is missing, measures, and writes the table and the picture."""
    keep_freed_memory()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", choices=("methods", "noise", "data", "layers", "weight", "transfer"))
    parser.add_argument("data")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--arch", default="resnet32")
    parser.add_argument("--epochs", type=int, default=36)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--fraction", type=float, default=1.0, help="of the training pictures")
    parser.add_argument("--only", nargs="*", default=[], help="rows of the table")
    given = parser.parse_args()
    runs = {run.name: run for run in plan(given.study, given.fraction)}
    for name in given.only:
        if name not in runs:
            raise unknown_name("row", name, runs)
    fabric, dataset = launch(), open_dataset(given.data)
    keep_to(given.folder, data=given.data, epochs=given.epochs, fraction=given.fraction)
    found: dict[str, list[dict[str, float]]] = {}
    for name, run in runs.items():
        count = given.seeds if name in (given.only or runs) else 0
        for seed in seeds(count, lambda seed, run=run: place(run, seed, given).is_file()):  # type: ignore[misc]
            found.setdefault(name, []).append(trained(run, seed, given, dataset, fabric))
    rows: list[Sequence[str]] = [(f"{given.arch}, test accuracy, %", *SETS)]
    rows += [
        (name, *(mean_and_deviation([100 * run[each] for run in runs]) for each in SETS))
        for name, runs in found.items()
    ]
    text = "\n".join([*markdown(rows), ""])
    picture = dots({name: [100 * run["original"] for run in runs] for name, runs in found.items()}, "test accuracy, %")
    write(given.folder, {f"{given.study}.md": text, f"{given.study}.png": picture})
    print(text)


if __name__ == "__main__":
    with in_one_line():
        main()
