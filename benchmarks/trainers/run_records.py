"""What a run of a study leaves behind: a small JSON file with its figures and all that it takes to repeat it.

Those of `docs/results/records` are what `benchmarks/trainers/result_tables.py` makes the tables of the result pages of.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric

BENCHMARKS = Path(__file__).resolve().parents[1]
if str(BENCHMARKS) not in sys.path:
    sys.path.append(str(BENCHMARKS))  # a script finds only what is beside it
from gpu.records import commit, machine, read_json, write_json  # noqa: E402 # found by the line above


@dataclass(frozen=True)
class RunRecord:
    """A finished run.

    Attributes:
        study: Name of the study, of which the run is one row or a part of one.
        row: Name of the row; runs of the same row differ only by their seeds.
        seed: Random seed.
        settings: What was trained and how long, such as the architecture and the number of epochs.
        results: The figures, by name.
        command: What was called, without the program.
        commit: Commit of the checkout, with "-dirty" if files differed from it.
        machine: Processor and GPU.
        torch: Version of torch.
    """

    study: str
    row: str
    seed: int
    settings: Mapping[str, Any]
    results: Mapping[str, float]
    command: str
    commit: str
    machine: str
    torch: str


def new_record(
    study: str, row: str, seed: int, settings: Mapping[str, Any], results: Mapping[str, float], fabric: Fabric
) -> RunRecord:
    """Returns the record of a run that this process has done on this machine."""
    script = Path(sys.argv[0]).resolve()
    command = " ".join([f"benchmarks/{script.parent.name}/{script.name}", *sys.argv[1:]])
    return RunRecord(study, row, seed, settings, results, command, commit(), machine(fabric), torch.__version__)


def save_record(path: Path, record: RunRecord) -> None:
    """Writes a record, completely or not at all."""
    write_json(path, asdict(record))


def load_record(path: Path) -> RunRecord | None:
    """Reads a record; returns None if there is no such file."""
    values = read_json(path)
    return None if values is None else RunRecord(**values)
