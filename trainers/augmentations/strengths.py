"""Finds how strong each augmentation must be to cost a classifier some points of accuracy (Kapoor et al., 3.3.2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from allweather.runtimes.errors import TrainingError, UsageError
from allweather.trainers.augmentations.photometric import (
    AUGMENTATIONS,
    COMBINATIONS,
    PhotometricAugmentation,
    augment,
    row_augmentations,
)
from allweather.trainers.data.batches import to_float
from allweather.trainers.data.dataset import Split

FEW = 1000  # pictures that the bracket is looked for on
HALVINGS = 7  # of the bracket, on few pictures
REFINEMENTS = 5  # of the bracket, on all pictures
CLOSE = 0.001  # from the points asked for
BATCH = 250
SEED = 30


@dataclass(frozen=True)
class Strength:
    """A calibrated augmentation.

    Attributes:
        name: of the augmentation, or of a combination.
        parameter: what was found; None for a combination, which takes those of its parts.
        accuracy: of the classifier on the augmented validation split, 0..1.
        reached: whether it costs the points asked for; else the parameter is the augmentation's limit.
    """

    name: str
    parameter: float | None
    accuracy: float
    reached: bool


@dataclass(frozen=True)
class AugmentationStrengths:
    """The strengths for one classifier.

    Attributes:
        clean: its accuracy on the clean validation split, 0..1.
        points: what each augmentation was to cost, 0..1.
        strengths: of the seven augmentations, then the two combinations.
    """

    clean_accuracy: float
    accuracy_drop: float
    strengths: tuple[Strength, ...]

    @property
    def parameters(self) -> dict[str, float]:
        """Of each augmentation, by name."""
        return {each.name: each.parameter for each in self.strengths if each.parameter is not None}


def find_strengths(
    model: nn.Module, val: Split, points: float = 0.1, *, watch: Callable[[str], None] = lambda name: None
) -> AugmentationStrengths:
    """Finds the strengths by bisection: a bracket on a few pictures first, then closer on all of them.

    The random numbers of noise are the same at every try, so that only the strength makes a difference.

    Args:
        model: float [n, 3, h, w] in 0..1 -> float [n, C]; put into eval mode.
        val: pictures it was not trained on, on its device.
        points: accuracy that each augmentation is to cost, 0..1.
        watch: told of each augmentation before it is looked at.

    Raises:
        UsageError: `points` is not above 0 and below 1.
        TrainingError: the classifier is not that much better than a constant answer, or nothing costs it that much.
    """
    if not 0 < points < 1:
        raise UsageError(f"points of accuracy are above 0 and below 100; got {100 * points:g}")
    few = val.take(torch.linspace(0, len(val) - 1, min(FEW, len(val)), device=val.labels.device).long())
    clean, base = augmented_accuracy(model, val), augmented_accuracy(model, few)
    constant = float(val.labels.bincount().max()) / len(val)
    if clean - points <= constant:
        raise TrainingError(
            f"this classifier cannot lose {100 * points:g} points: it is right in {100 * clean:.1f} %, and always the "
            f"same answer in {100 * constant:.1f} %; train it first, or name fewer points"
        )
    found = []
    for kind in AUGMENTATIONS.values():
        watch(kind.name)
        found.append(_strength(model, kind, few, base - points, val, clean - points))
    if not any(each.reached for each in found):
        raise TrainingError(f"no augmentation costs this classifier {100 * points:g} points; name fewer")
    parameters = {each.name: each.parameter for each in found if each.parameter is not None}
    for name in COMBINATIONS:
        watch(name)
        accuracy = augmented_accuracy(model, val, row_augmentations(name), parameters)
        found.append(Strength(name, None, accuracy, accuracy <= clean - points))
    return AugmentationStrengths(clean, points, tuple(found))


def _strength(
    model: nn.Module, kind: PhotometricAugmentation, few: Split, wanted_of_few: float, val: Split, wanted: float
) -> Strength:
    """`wanted` are accuracies. Strengths are shares of the way from the neutral parameter to the limit."""

    def accuracy(share: float, split: Split) -> float:
        return augmented_accuracy(model, split, (kind.name,), {kind.name: parameter(share)})

    def parameter(share: float) -> float:
        return kind.neutral + share * (kind.limit - kind.neutral)

    low, high = 0.0, min(1.0, (kind.paper - kind.neutral) / (kind.limit - kind.neutral))
    while accuracy(high, few) > wanted_of_few and high < 1:
        low, high = high, min(1.0, 2 * high)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if accuracy(middle, few) > wanted_of_few else (low, middle)
    low, high = low * 0.8, min(1.0, high * 1.25)  # few pictures err by some points
    best, reached = high, accuracy(high, val)
    while reached > wanted and high < 1:
        low, high = high, min(1.0, high * 1.25)
        best, reached = high, accuracy(high, val)
    if reached > wanted + CLOSE:  # at the limit
        return Strength(kind.name, parameter(1.0), reached, reached=False)
    at_low = accuracy(low, val)
    at_high = reached
    for _ in range(REFINEMENTS):
        if abs(reached - wanted) <= CLOSE or at_low <= at_high:
            break
        share = min(0.9, max(0.1, (at_low - wanted) / (at_low - at_high)))  # between secant and bisection
        middle = low + share * (high - low)
        now = accuracy(middle, val)
        if abs(now - wanted) < abs(reached - wanted):
            best, reached = middle, now
        if now > wanted:
            low, at_low = middle, now
        else:
            high, at_high = middle, now
    return Strength(kind.name, parameter(best), reached, reached=True)


@torch.no_grad()
def augmented_accuracy(
    model: nn.Module, split: Split, names: Sequence[str] = (), parameters: Mapping[str, float] | None = None
) -> float:
    """Share of augmented pictures that are put into their class, 0..1; the same random numbers at each call.

    Args:
        model: float [n, 3, h, w] in 0..1 -> float [n, C]; put into eval mode.
        split: on the model's device.
        names: augmentations to apply in turn; none for clean pictures.
        parameters: of each of them.
    """
    model.eval()
    rng = torch.Generator(split.images.device).manual_seed(SEED)
    right: list[Tensor] = []
    for images, labels in zip(torch.split(split.images, BATCH), torch.split(split.labels, BATCH), strict=True):
        augmented = augment(to_float(images), names, parameters or {}, rng)
        right.append((model(augmented).argmax(1) == labels).sum())
    return int(torch.stack(right).sum()) / len(split)
