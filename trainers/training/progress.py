"""How far a training run is, and what each of its epochs came to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields


@dataclass(frozen=True)
class EpochReport:
    """One epoch, measured.

    Attributes:
        epoch: from 1.
        loss: mean training loss over all processes.
        val_accuracy: of the averaged weights on the val split, 0..1.
        rate: learning rate at the end.
        seconds: wall-clock time of its training steps, of the last part where it was resumed.
        images_per_second: of its training steps, over all processes.
        others: further accuracies that the objective measures, 0..1 by name.
    """

    epoch: int
    loss: float
    val_accuracy: float
    lr: float
    seconds: float
    images_per_second: float
    others: Mapping[str, float] = field(default_factory=dict)

    def row(self) -> dict[str, float]:
        """All of it as one row of a checkpoint's history."""
        own = {name: float(getattr(self, name)) for name in COLUMNS}
        return {**own, "epoch": self.epoch, **self.others}

    @staticmethod
    def from_row(row: Mapping[str, float]) -> EpochReport:
        """What `row` gave."""
        own = {name: value for name, value in row.items() if name in COLUMNS}
        return EpochReport(**own, others={name: value for name, value in row.items() if name not in COLUMNS})  # type: ignore[arg-type]


COLUMNS = tuple(column.name for column in fields(EpochReport) if column.name != "others")


@dataclass(frozen=True)
class Progress:
    """Where a run stands: after `step` of `steps` in all; `report` closes each epoch."""

    step: int
    steps: int
    report: EpochReport | None = None
