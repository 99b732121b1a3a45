"""How well a classifier holds up: every corruption at every severity, beside the clean pictures."""

from __future__ import annotations

from dataclasses import dataclass

from allweather.evaluation.provenance import Provenance


@dataclass(frozen=True)
class CellMetrics:
    """What is measured of answers.

    Attributes:
        error: share of wrong answers, 0..1; `low` and `high` are its 95 % bootstrap interval.
        calibration_error: expected calibration error over 15 bins, 0..1.
        brier: mean squared distance of the probabilities from the truth, 0..2.
        nll: mean negative log-likelihood, in nats.
    """

    error: float
    low: float
    high: float
    calibration_error: float
    brier: float
    nll: float


@dataclass(frozen=True)
class Cell(CellMetrics):
    """The answers to one corruption at one severity, or to the clean pictures.

    Attributes:
        corruption: its name, or "clean".
        severity: 1 to 5, or 0 for the clean pictures.
        confidence: mean of the largest probability, 0..1.
    """

    corruption: str
    severity: int
    confidence: float


@dataclass(frozen=True)
class Mean(CellMetrics):
    """Each measure's mean over all cells of a group of corruptions; `missing` are those that the set lacks."""

    corruptions: tuple[str, ...]
    missing: tuple[str, ...]


@dataclass(frozen=True)
class Mistake:
    """The most confidently wrong answer to a corruption: picture `number` of its cell."""

    corruption: str
    severity: int
    number: int
    label: str
    answered: str
    confidence: float


@dataclass(frozen=True)
class Robustness:
    """A classifier measured on a corrupted set.

    Attributes:
        provenance: What was evaluated, on which data and machine.
        corrupted: where the corrupted pictures are from.
        classes: names.
        clean: on all clean test pictures.
        cells: in the order of the corruptions, severity 1 first.
        common: over the 15 common corruptions; None if the set has none of them.
        extra: over the 4 others; None if the set has none of them.
        mce: mean corruption error in percent of the baseline's; None without a baseline or not all 15.
        baseline: its name; None without one.
        reliability: for each bin of confidence (pictures, mean confidence, accuracy), over all cells.
        mistakes: one a corruption.
        seconds: it took.
    """

    provenance: Provenance
    corrupted: str
    classes: tuple[str, ...]
    clean: Cell
    cells: tuple[Cell, ...]
    common: Mean | None
    extra: Mean | None
    mce: float | None
    baseline: str | None
    reliability: tuple[tuple[int, float, float], ...]
    mistakes: tuple[Mistake, ...]
    seconds: float

    def by_severity(self) -> dict[str, list[float]]:
        """Error at severity 1 to 5 of each corruption, 0..1."""
        rows: dict[str, list[float]] = {}
        for cell in self.cells:
            rows.setdefault(cell.corruption, []).append(cell.error)
        return rows

    def errors(self) -> dict[str, float]:
        """Mean error over the severities of each corruption, 0..1."""
        return {name: sum(errors) / len(errors) for name, errors in self.by_severity().items()}
