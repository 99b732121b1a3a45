"""The tables of the committed checkpoints: how each was made, by its own settings, and its measured errors."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from result_table import provenance
from run_records import RunRecord

from allweather.runtimes.errors import DataError

CHECKPOINTS = Path(__file__).resolve().parents[2] / "samples" / "checkpoints"
STUDY = "committed-checkpoints"
PUBLISHED = "the published ResNet-20"
UNSEEN = "`resnet20-45000`"
STRENGTHS = (
    "brightness+", "brightness-", "saturation+", "saturation-", "gaussian_blur", "gaussian_noise", "salt_and_pepper"
)  # fmt: skip
TABLES = "python benchmarks/trainers/finetuning_tables.py"
UNSEEN_FILE = "samples/checkpoints/resnet20-45000.safetensors"
LONG = f"{TABLES} {UNSEEN_FILE} cifar10:ROOT FOLDER --epochs 30"
SHORT = f"{TABLES} r20.safetensors cifar10:ROOT FOLDER --epochs 4"


@dataclass(frozen=True)
class Model:
    """A committed checkpoint.

    Attributes:
        start: What its training started from.
        command: The command that made it.
    """

    start: str
    command: str


MODELS: Mapping[str, Model] = {
    "resnet20-45000": Model(
        "random weights",
        "allweather train --data cifar10:ROOT --arch resnet20 --epochs 36 --out resnet20-45000.safetensors",
    ),
    "resnet20-45000-at-ca-0": Model(UNSEEN, f"{LONG} --only at-ca-0"),
    "resnet20-45000-st-ca-0": Model(UNSEEN, f"{LONG} --only st-ca-0"),
    "resnet20-45000-fma-ca-0": Model(UNSEEN, f"{LONG} --only fma-ca-0"),
    "resnet20-45000-fma-layers-ca-0": Model(UNSEEN, f"{LONG} --layers layer3.2.relu2 --only fma-layers-ca-0"),
    "resnet20-45000-robust-0": Model(UNSEEN, f"{TABLES} {UNSEEN_FILE} cifar10:ROOT FOLDER --epochs 4 --only robust-0"),
    "resnet20-45000-robust-max-drop-0": Model(
        UNSEEN, f"{TABLES} {UNSEEN_FILE} cifar10:ROOT FOLDER --epochs 10 --only robust-max-drop-0"
    ),
    "resnet20-45000-robust-dusk-0": Model(
        UNSEEN, f"{TABLES} {UNSEEN_FILE} cifar10:ROOT FOLDER --epochs 4 --only robust-0"
    ),
    "resnet20-45000-robust-dusk-max-drop-0": Model(
        UNSEEN, f"{TABLES} {UNSEEN_FILE} cifar10:ROOT FOLDER --epochs 10 --only robust-max-drop-0"
    ),
    "resnet20-at-ca-0": Model(PUBLISHED, f"{SHORT} --only at-ca"),
    "resnet20-fma-ca-0": Model(PUBLISHED, f"{SHORT} --only fma-ca-0"),
    "resnet20-fma-ca-30-epochs": Model(
        PUBLISHED, f"{TABLES} r20.safetensors cifar10:ROOT FOLDER --epochs 30 --only fma-ca-0"
    ),
    "resnet20-robust-0": Model(PUBLISHED, f"{SHORT} --only robust-0"),
}


@dataclass(frozen=True)
class CheckpointTable:
    """The table of the committed classifiers.

    Attributes:
        name: Name of the table on its page.
    """

    name: str = "checkpoints"

    def lines(self, records: Sequence[RunRecord]) -> list[str]:
        """Returns the lines of the table.

        Args:
            records: All records.

        Raises:
            DataError: A checkpoint has no record.
        """
        header = ("file", "how it was trained", "start", "clean", "common 15", "extra 4")
        rows = [f"| {' | '.join(header)} |", "|---|---|---|---:|---:|---:|"]
        found = {each.row: each for each in records if each.study == STUDY}
        for name, model in MODELS.items():
            if name not in found:
                raise DataError(f"there is no record of {name}; run benchmarks/trainers/committed_checkpoints.py")
            settings = read_header(CHECKPOINTS / f"{name}.safetensors")["settings"]
            errors = (f"{found[name].results[key]:.2f}" for key in ("clean", "common", "extra"))
            rows.append(f"| {' | '.join((f'`{name}`', _in_words(settings), model.start, *errors))} |")
        rows += ["", provenance([found[name] for name in MODELS])]
        rows += ["", "The commands:", "", *(f"- `{name}`: `{model.command}`" for name, model in MODELS.items())]
        return rows


def _in_words(settings: Mapping[str, Any]) -> str:
    """Returns the method, strategy, layers, epochs, gamma and seed of a training."""
    gamma, layers = settings.get("gamma"), settings.get("layers")
    method = "/".join(settings[key] for key in ("method", "strategy") if key in settings)
    parts = [
        f"{method} of {', '.join(layers)}" if layers else method,
        f"{settings['epochs']} epochs",
        *([] if gamma is None else [f"gamma {gamma:g}"]),
        f"seed {settings['seed']}",
    ]
    return ", ".join(parts)


@dataclass(frozen=True)
class StrengthTable:
    """The table of the augmentation strengths that the checkpoints hold.

    Attributes:
        name: Name of the table on its page.
    """

    name: str = "strengths"

    def lines(self, records: Sequence[RunRecord]) -> list[str]:
        """Returns the lines of the table, a row for each start.

        Args:
            records: Not used; the checkpoints hold the strengths.
        """
        rows = [f"| start | {' | '.join(STRENGTHS)} |", f"|---|{'---:|' * len(STRENGTHS)}"]
        by_start: dict[str, set[tuple[str, ...]]] = {}
        for name, model in MODELS.items():
            strengths = read_header(CHECKPOINTS / f"{name}.safetensors")["strengths"]
            if strengths:
                row = tuple(f"{strengths[each]:.4g}" for each in STRENGTHS)
                by_start.setdefault(model.start, set()).add(row)
        rows += [f"| {start} | {' | '.join(row)} |" for start, found in by_start.items() for row in sorted(found)]
        return rows


def read_header(path: Path) -> dict[str, Any]:
    """Returns what a checkpoint says of itself: the metadata of a safetensors file."""
    with path.open("rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(size))
    values: dict[str, Any] = json.loads(header["__metadata__"]["allweather"])
    return values


MODEL_TABLES = (CheckpointTable(), StrengthTable())
