"""Progress of a training run, and the metrics of each epoch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields


@dataclass(frozen=True)
class EpochReport:
    """Metrics of one epoch.

    Attributes:
        epoch: Number of the epoch, counted from 1.
        loss: Mean training loss over all processes.
        val_accuracy: Accuracy of the averaged weights on the validation split, 0..1.
        lr: Learning rate at the end of the epoch.
        seconds: Wall-clock time of the training steps; for a resumed epoch, of the steps since it was resumed.
        images_per_second: Training images per second over all processes, validation excluded.
        val_metrics: Further metrics that the objective computes on the validation split, by name.
    """

    epoch: int
    loss: float
    val_accuracy: float
    lr: float
    seconds: float
    images_per_second: float
    val_metrics: Mapping[str, float] = field(default_factory=dict)

    def row(self) -> dict[str, float]:
        """Returns one row of a checkpoint's history: all metrics but the measured times.

        Without them, the same run makes the same file.
        """
        return {name: value for name, value in self.timed_row().items() if name not in TIMES}

    def timed_row(self) -> dict[str, float]:
        """Returns all metrics and the measured times, for the file of an unfinished run."""
        own = {name: float(getattr(self, name)) for name in COLUMNS}
        return {**own, "epoch": self.epoch, **self.val_metrics}

    @staticmethod
    def from_timed_row(row: Mapping[str, float]) -> EpochReport:
        """Rebuilds the report from what `timed_row()` returned."""
        own = {name: value for name, value in row.items() if name in COLUMNS}
        return EpochReport(**own, val_metrics={name: value for name, value in row.items() if name not in COLUMNS})  # type: ignore[arg-type]

    def mean_accuracy(self) -> float:
        """Returns the mean of all accuracies, 0..1, of an objective whose further metrics are accuracies, too."""
        accuracies = (self.val_accuracy, *self.val_metrics.values())
        return sum(accuracies) / len(accuracies)


def kept_report(
    history: Sequence[EpochReport],
    patience: int | None,
    score: Callable[[EpochReport], float] = lambda report: report.val_accuracy,
) -> EpochReport:
    """Returns the report of the epoch whose weights a run keeps.

    Args:
        history: Reports of the epochs so far, at least one.
        patience: As in the settings; None means that the last epoch is kept, otherwise it is the best one, and of
            equally good ones the first.
        score: Returns what is better the larger it is.
    """
    return history[-1] if patience is None else max(history, key=score)


COLUMNS = tuple(column.name for column in fields(EpochReport) if column.name != "val_metrics")
TIMES = ("seconds", "images_per_second")


@dataclass(frozen=True)
class Progress:
    """State of a run after a step or an epoch.

    Attributes:
        step: Training steps done since the start of the run.
        steps: Training steps of the whole run.
        report: Metrics of the epoch that has just ended; None after a step.
    """

    step: int
    steps: int
    report: EpochReport | None = None
