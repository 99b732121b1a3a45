"""The result of an evaluation on corrupted images: metrics of each corruption at each severity, beside clean images."""

from __future__ import annotations

from dataclasses import dataclass, field

from allweather.evaluation.error_rate import Correctness
from allweather.evaluation.provenance import Provenance
from allweather.runtimes.text import NOT_IN_JSON


@dataclass(frozen=True)
class CellMetrics:
    """Metrics of the predictions for one cell, or for several cells on average.

    Attributes:
        error: Share of incorrect predictions, 0..1.
        low: Lower end of its 95 % bootstrap interval.
        high: Upper end of its 95 % bootstrap interval.
        calibration_error: Expected calibration error over 15 bins, 0..1.
        brier: Brier score: mean squared distance between the probabilities and the one-hot true class, 0..2.
        nll: Mean negative log-likelihood of the true class, in nats.
    """

    error: float
    low: float
    high: float
    calibration_error: float
    brier: float
    nll: float


@dataclass(frozen=True)
class Cell(CellMetrics):
    """Metrics of one corruption at one severity, or of the clean images.

    Attributes:
        corruption: Name of the corruption, or "clean".
        severity: 1 to 5, or 0 for the clean images.
        confidence: Mean confidence, 0..1.
    """

    corruption: str
    severity: int
    confidence: float


@dataclass(frozen=True)
class GroupMean(CellMetrics):
    """Mean of each metric over all cells of a group of corruptions.

    Attributes:
        corruptions: Corruptions of the group that the set contains.
        missing: Corruptions of the group that the set lacks.
    """

    corruptions: tuple[str, ...]
    missing: tuple[str, ...]


@dataclass(frozen=True)
class Mistake:
    """The incorrect prediction with the highest confidence for one corruption.

    Attributes:
        corruption: Name of the corruption.
        severity: 1 to 5.
        index: Index of the image in its cell.
        label: Name of the true class.
        predicted: Name of the predicted class.
        confidence: Probability of the predicted class, 0..1.
    """

    corruption: str
    severity: int
    index: int
    label: str
    predicted: str
    confidence: float


@dataclass(frozen=True)
class Robustness:
    """Result of evaluating a classifier on a corrupted test set.

    Attributes:
        provenance: What was evaluated, on which data and machine.
        corrupted: Where the corrupted images come from.
        classes: Names of the classes.
        clean: Metrics on all clean test images.
        cells: Metrics of each cell, in the order of the corruptions, severity 1 first.
        common: Mean over the 15 common corruptions; None if the set has none of them.
        extra: Mean over the 4 other corruptions; None if the set has none of them.
        mce: Mean corruption error in percent; None without a baseline or if one of the 15 is missing.
        baseline: Name of the baseline; None without one.
        reliability: For each bin of confidence (number of images, mean confidence, accuracy), over all cells.
        mistakes: The incorrect prediction with the highest confidence for each corruption that has one.
        correctness: Which predictions are correct, for `paired_difference`; not in JSON.
    """

    provenance: Provenance
    corrupted: str
    classes: tuple[str, ...]
    clean: Cell
    cells: tuple[Cell, ...]
    common: GroupMean | None
    extra: GroupMean | None
    mce: float | None
    baseline: str | None
    reliability: tuple[tuple[int, float, float], ...]
    mistakes: tuple[Mistake, ...]
    correctness: Correctness = field(repr=False, compare=False, metadata=NOT_IN_JSON)

    def errors_by_severity(self) -> dict[str, list[float]]:
        """Returns the errors (0..1) at severity 1 to 5 of each corruption."""
        rows: dict[str, list[float]] = {}
        for cell in self.cells:
            rows.setdefault(cell.corruption, []).append(cell.error)
        return rows

    def mean_errors(self) -> dict[str, float]:
        """Returns the mean error (0..1) over the severities of each corruption."""
        return {name: sum(errors) / len(errors) for name, errors in self.errors_by_severity().items()}
