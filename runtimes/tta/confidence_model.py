"""How sure a decision is: calibrated confidence, the least confidence that is accepted, and signs of an unknown image.

The temperature is that of Guo et al. 2017 (arXiv:1706.04599). To accept only confident decisions is selective
classification (Geifman and El-Yaniv 2017, arXiv:1705.08500). The energy is that of Liu et al. 2020 (arXiv:2010.03759).
`allweather tune-policy` fits all of it; here it is applied.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from allweather.runtimes.errors import UsageError
from allweather.runtimes.setting_types import check_types, is_number
from allweather.runtimes.types import Floats

MIN_TEMPERATURE, MAX_TEMPERATURE = 0.05, 20.0
MAX_COUNT = 64  # of numbers of views, as a policy has at most so many


@dataclass(frozen=True)
class Acceptance:
    """The least confidence of accepted decisions, and what was shown about their errors.

    Attributes:
        threshold: Calibrated confidence from which a decision is accepted, 0..1.
        risk: Largest share of errors among accepted decisions, above 0 and below 1. It was shown on images like those
            of the validation data, clean and corrupted, for each number of views that a budget may leave.
        level: Probability, above 0 and below 1, with which a threshold that is found in this way holds the risk.
        images: Number of images that it was shown on.
        accepted: Number of them on which the decision was accepted after all views of the policy.
        errors: Number of errors among these.
    """

    threshold: float
    risk: float
    level: float
    images: int
    accepted: int
    errors: int
    __pydantic_config__ = MappingProxyType({"extra": "forbid"})  # applies when a manifest or a checkpoint is read

    def __post_init__(self) -> None:
        """Checks the ranges.

        Raises:
            UsageError: A value is out of its range; the message names it.
        """
        check_types(self)
        if not 0 <= self.threshold <= 1:
            raise UsageError(f"the threshold of accepted decisions is 0 to 1; got {self.threshold}")
        check_share("risk", self.risk)
        check_share("level", self.level)
        if not 0 <= self.errors <= self.accepted <= self.images or not self.accepted:
            raise UsageError(
                "accepted decisions are some of those on the images, and errors some of the accepted; got "
                f"{self.errors} errors, {self.accepted} accepted, {self.images} images"
            )

    @property
    def coverage(self) -> float:
        """Share of the images that was accepted, 0..1."""
        return self.accepted / self.images


@dataclass(frozen=True)
class ConfidenceModel:
    """What the average of a policy's views says about itself, fitted to clean and corrupted validation images.

    Attributes:
        temperatures: Temperature of the probabilities after 1, 2, ... views, 0.05 to 20; the last one for any further.
        max_energies: Energies after 1, 2, ... views (see `energy`, mean over the views) above which an image is unlike
            those that were seen; as many as temperatures.
        acceptance: From which confidence decisions are accepted; None if no risk was asked for, or none could be held.
    """

    temperatures: tuple[float, ...]
    max_energies: tuple[float, ...]
    acceptance: Acceptance | None = None
    __pydantic_config__ = MappingProxyType({"extra": "forbid"})

    def __post_init__(self) -> None:
        """Checks lengths and ranges.

        Raises:
            UsageError: A value is out of its range; the message names it.
        """
        check_types(self)
        count = len(self.temperatures)
        if not 1 <= count <= MAX_COUNT or len(self.max_energies) != count:
            raise UsageError(
                f"a confidence model has 1 to {MAX_COUNT} temperatures and as many energies; got {count} and "
                f"{len(self.max_energies)}"
            )
        if not all(MIN_TEMPERATURE <= each <= MAX_TEMPERATURE for each in self.temperatures):
            raise UsageError(
                f"a temperature is {MIN_TEMPERATURE:g} to {MAX_TEMPERATURE:g}; got {_listed(self.temperatures)}"
            )
        if not all(math.isfinite(each) for each in self.max_energies):
            raise UsageError(f"an energy is a finite number; got {_listed(self.max_energies)}")

    def calibrated(self, probabilities: Floats, views_run: int) -> Floats:
        """Returns the calibrated probabilities, whose largest is the share of correct predictions.

        Args:
            probabilities: float32 [..., C], the average after `views_run` views.
            views_run: At least 1.

        Returns:
            float32 [..., C], in the same order of size, with the sum 1.
        """
        return with_temperature(probabilities, self.temperatures[self._index(views_run)])

    def is_unknown(self, mean_energy: float, views_run: int) -> bool:
        """Returns whether an image is unlike those that were seen: its energy is higher, or is no number.

        Args:
            mean_energy: Mean energy of the views that were run.
            views_run: Their number, at least 1.
        """
        return not mean_energy <= self.max_energies[self._index(views_run)]

    def accepts(self, confidence: float, *, unknown: bool) -> bool | None:
        """Returns whether a decision is accepted; None if there is no threshold.

        Args:
            confidence: Its calibrated confidence, 0..1.
            unknown: Whether its image is unlike those that were seen; no such decision is accepted.
        """
        return None if self.acceptance is None else not unknown and confidence >= self.acceptance.threshold

    def _index(self, views_run: int) -> int:
        return min(views_run, len(self.temperatures)) - 1


def with_temperature(probabilities: npt.NDArray[np.floating], temperature: float) -> Floats:
    """Applies a temperature to probabilities: to the power of 1 / temperature, and normalized.

    It is the softmax of logits that are divided by the temperature, where the probabilities are the softmax of these.

    Args:
        probabilities: float [..., C], sums to 1.
        temperature: Above 1 for less confidence, below 1 for more.

    Returns:
        float32 [..., C], sums to 1.
    """
    relative = probabilities.astype(np.float64) / probabilities.max(axis=-1, keepdims=True)
    powers = relative ** (1 / temperature)
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True), np.float32)


def energy(logits: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Computes the free energy, minus the logarithm of the sum of the exponentials of the logits.

    It is low where the classifier has seen similar images, and high where no class has a large logit.

    Args:
        logits: float [..., C]; nan counts as minus infinity.

    Returns:
        float64 [...]; plus infinity if all logits are minus infinity.
    """
    largest = np.finfo(np.float64).max
    clean = np.nan_to_num(logits.astype(np.float64), nan=-np.inf, neginf=-np.inf, posinf=largest)
    top = clean.max(axis=-1, keepdims=True)
    shift = np.where(np.isfinite(top), top, 0.0)
    with np.errstate(divide="ignore"):  # the logarithm of 0 is minus infinity, as it should be
        logarithms: npt.NDArray[np.float64] = np.log(np.exp(clean - shift).sum(axis=-1)) + shift[..., 0]
    return -logarithms


def check_share(name: str, value: float) -> None:
    """Checks a share that is neither nothing nor all.

    Raises:
        UsageError: It is not above 0 and below 1.
    """
    if not is_number(value) or not 0 < value < 1:
        raise UsageError(f"the {name} of accepted decisions is above 0 and below 1; got {value!r:.40}")


def _listed(values: tuple[float, ...]) -> str:
    return ", ".join(f"{each:g}" for each in values[:5])
