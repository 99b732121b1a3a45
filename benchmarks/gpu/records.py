"""What a run leaves behind: one JSON with its figures, its schedule, and what it ran on."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric

from allweather.runtimes.errors import UsageError
from allweather.runtimes.system.atomic_files import atomic_file
from allweather.runtimes.system.device import this_device
from allweather.trainers.data.dataset import Dataset
from gpu.budget import Budget


@dataclass(frozen=True)
class Work:
    """What every part is given.

    Attributes:
        folder: Folder of the results.
        dataset: The data, in the CPU's memory; the training loop moves whole splits to the device.
        fabric: A launched Fabric.
        budget: Time of the part.
        seed: Random seed.
    """

    folder: Path
    dataset: Dataset
    fabric: Fabric
    budget: Budget
    seed: int

    @property
    def data_key(self) -> list[str | int]:
        """What tells the data and the seed of a run from those of another."""
        return [self.dataset.name.partition(":")[0], len(self.dataset.train), self.dataset.fingerprint(), self.seed]

    def finished(self, name: str) -> dict[str, Any] | None:
        """Returns the record of a run that an earlier call has finished; None if there is none.

        Raises:
            UsageError: It is of other data or of another seed, or no record.
        """
        record = read_json(self.folder / f"{name}.json")
        if record is not None and record.get("data") != self.data_key:
            raise UsageError(
                f"{self.folder} holds runs of the data {record.get('data')}, and this call has {self.data_key}; "
                "name another folder"
            )
        return record

    def finish(self, name: str, schedule: Mapping[str, Any], results: Mapping[str, Any]) -> dict[str, Any]:
        """Writes the record of a finished run, completely or not at all, and prints a line of it."""
        record = {
            "name": name,
            "schedule": dict(schedule),
            "results": dict(results),
            "data": self.data_key,
            "seed": self.seed,
            "machine": machine(self.fabric),
            "precision": str(self.fabric._precision.precision),
            "torch": torch.__version__,
            "commit": commit(),
        }
        write_json(self.folder / f"{name}.json", record)
        print(f"{name}: finished", flush=True)
        return record


def read_json(path: Path) -> dict[str, Any] | None:
    """Reads a JSON object; returns None if there is no such file.

    Raises:
        UsageError: The file is no JSON object.
    """
    if not path.is_file():
        return None
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        values = None
    if not isinstance(values, dict):
        raise UsageError(f"{path} is no record of a run; delete it, and the run is repeated")
    return values


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Writes a JSON object, completely or not at all; what is not finite is refused, as JSON has no NaN."""
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(values, indent=1, allow_nan=False), encoding="utf-8")


def machine(fabric: Fabric) -> str:
    """Returns the GPU and the processor in one line."""
    gpu = f"{torch.cuda.get_device_name(fabric.device)}, " if fabric.device.type == "cuda" else "no GPU, "
    return gpu + this_device().line()


def commit() -> str:
    """Returns the commit of this checkout, with "-dirty" if files differ from it; "unknown" outside of one."""
    git = shutil.which("git")
    if git is None:
        return "unknown"
    command = [git, "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 # fixed arguments
    return done.stdout.strip() or "unknown"
