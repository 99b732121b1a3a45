"""The file that holds an unfinished run, from which the same run is resumed, and the steps at which it is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from allweather.runtimes.errors import CheckpointError, TrainingError
from allweather.trainers.checkpoint import tensor_file
from allweather.trainers.inference.forward import all_reduced

if TYPE_CHECKING:
    from lightning_fabric import Fabric

SAVE_INTERVAL = 120.0  # seconds between saves within an epoch: the most work that is lost when the process is killed


class ResumeFile:
    """Writes the state of a run to its file, and reads it.

    Args:
        path: The file; None means that the run is not saved.
        key: Plain values that two runs must share for one to continue the other.
        fabric: A launched Fabric; its first process writes, and all of them read.
    """

    def __init__(self, path: Path | None, key: Mapping[str, Any], fabric: Fabric) -> None:
        self.path, self.key, self.fabric = path, key, fabric

    def write(self, tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> None:
        """Writes the state, in the first process."""
        if self.path is not None and self.fabric.is_global_zero:
            tensor_file.write(self.path, tensors, {"resume_key": self.key, **header})

    def read(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Returns the tensors and the header that were written; None if there is no file.

        Raises:
            TrainingError: The file is damaged, belongs to another run, or only some of the processes can see it.
        """
        if self.path is None:
            return None
        seen_by = all_reduced(self.fabric, torch.tensor(float(self.path.exists()), device=self.fabric.device), "sum")
        if not seen_by:
            return None
        if seen_by < self.fabric.world_size:  # otherwise the machines would continue from different weights
            raise TrainingError(
                f"{self.path} exists for only some of the {self.fabric.world_size} processes; choose a folder that "
                "all machines share, or delete the file to start over"
            )
        try:
            tensors, header = tensor_file.read(self.path)
        except CheckpointError as error:
            raise TrainingError(f"{error}; delete it to start over") from error
        if header is None or header.get("resume_key") != self.key:
            raise TrainingError(
                f"{self.path} holds an unfinished run with another network, or other settings, data or processes; "
                "finish that run with the same ones, or delete the file to start over"
            )
        return tensors, header


class SaveTimer:
    """Tells the processes of a run after which of its steps to save it: all of them after the same ones.

    The clock of the first process decides. The others must ask it, which would slow down each step, and so they ask
    after 1, 2, 4, ... steps, and then, as the time for a save comes nearer, after half of the steps that are left.

    Args:
        fabric: A launched Fabric.
        clock: Returns monotonic time in seconds.
    """

    def __init__(self, fabric: Fabric, clock: Callable[[], float]) -> None:
        self.fabric, self.clock = fabric, clock
        self.restart()

    def restart(self) -> None:
        """Starts to measure, when a run has been saved or begins."""
        self._saved, self._steps, self._next = self.clock(), 0, 1
        self._asked, self._asked_steps = self._saved, 0

    def due(self) -> bool:
        """Returns whether the run is to be saved; every process calls it after each of its steps."""
        self._steps += 1
        if self._steps < self._next:
            return False
        now = self.clock()
        elapsed = now - self._saved
        # at the pace since the last look, as the first step may take many times as long as the others
        steps_left = (SAVE_INTERVAL - elapsed) * (self._steps - self._asked_steps) / max(now - self._asked, 1e-9)
        self._asked, self._asked_steps = now, self._steps
        wait = 0 if elapsed > SAVE_INTERVAL else max(1, min(self._steps, int(steps_left / 2)))
        wait = self.fabric.broadcast(wait)
        self._next = self._steps + wait
        return wait == 0


def each_process(fabric: Fabric, tensor: Tensor) -> Tensor:
    """Returns the tensors [...] of all processes as one, [processes, ...]; every process calls it."""
    if fabric.world_size == 1:
        return tensor[None]
    gathered = [torch.empty_like(tensor) for _ in range(fabric.world_size)]
    torch.distributed.all_gather(gathered, tensor)
    return torch.stack(gathered)


def without_prefix(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Returns the tensors whose names start with the prefix, under the rest of their names."""
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
