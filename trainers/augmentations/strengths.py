"""Augmentation strength search: finds how strong each augmentation must be to cost a classifier a given accuracy.

This is section 3.3.2 of the FMA paper (Kapoor et al.), which chooses strengths that cost about 10 points.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from allweather.runtimes.errors import TrainingError, UsageError
from allweather.runtimes.setting_types import check_instance, is_number
from allweather.trainers.augmentations.photometric import (
    AUGMENTATIONS,
    COMBINATIONS,
    PhotometricAugmentation,
    augment_floats,
    row_augmentations,
)
from allweather.trainers.data.batches import to_float
from allweather.trainers.data.dataset import LabeledImages, Split
from allweather.trainers.image_tensors import check_image_tensor, to_pixels

SUBSET_IMAGES = 1000  # images on which the bracket for the strength is searched
BISECTION_STEPS = 7  # on the subset
REFINEMENT_STEPS = 5  # on all images
TOLERANCE = 0.001  # accepted distance from the requested accuracy
BATCH_SIZE = 250
SEED = 30


@dataclass(frozen=True)
class Strength:
    """The strength of one augmentation, as the search found it.

    Attributes:
        name: Name of the augmentation or of a combination.
        parameter: Parameter that was found; None for a combination, which uses the parameters of its members.
        accuracy: Accuracy of the classifier on the augmented validation split, 0..1.
        reached: Whether the augmentation costs the requested accuracy; otherwise the parameter is at its limit.
    """

    name: str
    parameter: float | None
    accuracy: float
    reached: bool


@dataclass(frozen=True)
class AugmentationStrengths:
    """The strengths of all augmentations for one classifier.

    Attributes:
        clean_accuracy: Accuracy of the classifier on the clean validation split, 0..1.
        accuracy_drop: Accuracy that each augmentation should cost, 0..1.
        strengths: Strengths of the seven augmentations, then those of the two combinations.
    """

    clean_accuracy: float
    accuracy_drop: float
    strengths: tuple[Strength, ...]

    @property
    def parameters(self) -> dict[str, float]:
        """The parameter of each augmentation, by name."""
        return {each.name: each.parameter for each in self.strengths if each.parameter is not None}


def augmentation_strengths(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    points: float = 10.0,
    watch: Callable[[str], None] = lambda name: None,
) -> AugmentationStrengths:
    """Finds how strong each augmentation must be to cost a classifier some points of accuracy (Kapoor et al., 3.3.2).

    Args:
        model: Maps float [n, 3, h, w], RGB in 0..1, to logits, float [n, C]. It is put into eval mode. Images are
            brought to its device.
        images: Images that the model was not trained on: RGB, [n, 3, h, w], uint8 or float in 0..1.
        labels: int64 [n], 0..C-1.
        points: Percentage points of accuracy that each augmentation should cost, above 0 and below 100.
        watch: Called with the name of each augmentation before its search begins.

    Returns:
        The strengths; its `parameters` are what `augment` and the augmentations of training take.

    Raises:
        UsageError: `points` is out of range, or the network gives no logits for the labels.
        DataError: The images or labels are of another form.
        TrainingError: The classifier cannot lose that much accuracy, or no augmentation costs that much.
    """
    check_instance("model", model, nn.Module, "it is the network itself")
    check_image_tensor(images)
    device = next(iter(model.parameters()), images).device
    split = Split(to_pixels(images).movedim(-3, -1).contiguous(), labels).to(device)
    if not is_number(points):
        raise UsageError(f"the points of accuracy to lose are a number, such as 10; got {points!r:.40}")
    model.eval()
    with torch.no_grad():
        outputs = model(to_float(split.images[:2]))
    if not isinstance(outputs, Tensor) or outputs.dim() != 2:
        came = list(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
        raise UsageError(f"the network gives {came} for two images; the search needs logits [2, C]")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= outputs.shape[1]:
        raise UsageError(f"labels are 0 to {outputs.shape[1] - 1} for these outputs; got {low if low < 0 else high}")
    return find_strengths(model, split, points / 100, watch=watch)


def find_strengths(
    model: nn.Module,
    val: LabeledImages,
    accuracy_drop: float = 0.1,
    *,
    watch: Callable[[str], None] = lambda name: None,
) -> AugmentationStrengths:
    """Finds the strengths by bisection: first a bracket on a subset of the images, then the value on all images.

    Every evaluation uses the same random numbers, so that only the strength makes a difference. Streamed images are
    read anew for each evaluation; those that cannot be read are left out of all of them.

    Args:
        model: Maps float [n, 3, h, w] in 0..1 to logits, float [n, C]. It is put into eval mode.
        val: Images that the model was not trained on, whose batches are on the device of the model.
        accuracy_drop: Accuracy that each augmentation should cost, above 0 and below 1.
        watch: Called with the name of each augmentation before its search begins.

    Raises:
        UsageError: `accuracy_drop` is not above 0 and below 1.
        TrainingError: The classifier exceeds the accuracy of always predicting the same class by `accuracy_drop` or
            less, or no augmentation costs it that much.
    """
    points = 100 * accuracy_drop
    if not 0 < accuracy_drop < 1:
        raise UsageError(f"the points of accuracy to lose must be above 0 and below 100; got {points:g}")
    val = val.readable()
    few = torch.linspace(0, len(val) - 1, min(SUBSET_IMAGES, len(val)), device=val.labels.device).long()
    subset = val.take(few).loaded()
    clean, subset_clean = augmented_accuracy(model, val), augmented_accuracy(model, subset)
    constant = float(val.labels.bincount().max()) / len(val)
    lost = f"{points:g} point{'s' * (points != 1)}"
    if clean - accuracy_drop <= constant:
        raise TrainingError(
            f"this classifier cannot lose {lost}: its accuracy is {100 * clean:.1f} %, and always predicting the same "
            f"class gives {100 * constant:.1f} %; train it first, with class weights where a class is rare, or ask for "
            "fewer points (--strength-points; in a file of create, finetune.strength_points)"
        )
    strengths = []
    for augmentation in AUGMENTATIONS.values():
        watch(augmentation.name)
        strengths.append(
            _find_strength(model, augmentation, subset, subset_clean - accuracy_drop, val, clean - accuracy_drop)
        )
    if not any(each.reached for each in strengths):
        raise TrainingError(f"no augmentation costs this classifier {lost}; ask for fewer")
    parameters = {each.name: each.parameter for each in strengths if each.parameter is not None}
    for name in COMBINATIONS:
        watch(name)
        accuracy = augmented_accuracy(model, val, row_augmentations(name), parameters)
        strengths.append(Strength(name, None, accuracy, accuracy <= clean - accuracy_drop))
    return AugmentationStrengths(clean, accuracy_drop, tuple(strengths))


def _find_strength(
    model: nn.Module,
    augmentation: PhotometricAugmentation,
    subset: Split,
    subset_target: float,
    val: LabeledImages,
    target: float,
) -> Strength:
    """Searches one strength, as a share of the way from the neutral parameter (0) to the limit (1).

    Args:
        model: As for `find_strengths`.
        augmentation: The augmentation whose strength is searched.
        subset: A part of `val`, for the first bracket.
        subset_target: Accuracy to be reached on the subset.
        val: The whole validation split.
        target: Accuracy to be reached on the whole validation split.
    """

    def accuracy_at(share: float, split: LabeledImages) -> float:
        return augmented_accuracy(model, split, (augmentation.name,), {augmentation.name: parameter_at(share)})

    def parameter_at(share: float) -> float:
        return augmentation.neutral + share * (augmentation.limit - augmentation.neutral)

    paper_share = (augmentation.paper - augmentation.neutral) / (augmentation.limit - augmentation.neutral)
    low, high = 0.0, min(1.0, paper_share)
    while accuracy_at(high, subset) > subset_target and high < 1:
        low, high = high, min(1.0, 2 * high)
    for _ in range(BISECTION_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if accuracy_at(middle, subset) > subset_target else (low, middle)
    low, high = low * 0.8, min(1.0, high * 1.25)  # the subset's accuracy can be off by some points
    best, best_accuracy = high, accuracy_at(high, val)
    while best_accuracy > target and high < 1:
        low, high = high, min(1.0, high * 1.25)
        best, best_accuracy = high, accuracy_at(high, val)
    if best_accuracy > target + TOLERANCE:  # the limit does not cost enough either
        return Strength(augmentation.name, parameter_at(1.0), best_accuracy, reached=False)
    low_accuracy, high_accuracy = accuracy_at(low, val), best_accuracy
    for _ in range(REFINEMENT_STEPS):
        if abs(best_accuracy - target) <= TOLERANCE or low_accuracy <= high_accuracy:
            break
        # a secant step, limited to 10 % to 90 % of the bracket
        step = min(0.9, max(0.1, (low_accuracy - target) / (low_accuracy - high_accuracy)))
        middle = low + step * (high - low)
        accuracy = accuracy_at(middle, val)
        if abs(accuracy - target) < abs(best_accuracy - target):
            best, best_accuracy = middle, accuracy
        if accuracy > target:
            low, low_accuracy = middle, accuracy
        else:
            high, high_accuracy = middle, accuracy
    return Strength(augmentation.name, parameter_at(best), best_accuracy, reached=True)


def augmented_accuracy(
    model: nn.Module, split: LabeledImages, names: Sequence[str] = (), parameters: Mapping[str, float] | None = None
) -> float:
    """Returns the accuracy on augmented images, 0..1; every call uses the same random numbers.

    Args:
        model: As for `augmented_correct`.
        split: Images and labels whose batches are on the device of the model.
        names: Augmentations to apply in turn; empty for clean images.
        parameters: Parameter of each augmentation, by name.
    """
    return int(augmented_correct(model, split, names, parameters).sum()) / len(split)


def augmented_correct(
    model: nn.Module, split: LabeledImages, names: Sequence[str] = (), parameters: Mapping[str, float] | None = None
) -> Tensor:
    """Returns whether each augmented image is classified correctly, bool [n]; every call uses the same random numbers.

    Args:
        model: Maps float [n, 3, h, w] in 0..1 to logits, float [n, C]. It is put into eval mode.
        split: Images and labels whose batches are on the device of the model.
        names: Augmentations to apply in turn; empty for clean images.
        parameters: Parameter of each augmentation, by name.
    """
    return rows_correct(model, split, [names], parameters)[0]


@torch.no_grad()
def rows_correct(
    model: nn.Module,
    split: LabeledImages,
    rows: Sequence[Sequence[str]],
    parameters: Mapping[str, float] | None = None,
) -> Tensor:
    """Returns what `augmented_correct` does for several rows of augmentations; streamed images are read once for all.

    Args:
        model: As for `augmented_correct`.
        split: Images and labels whose batches are on the device of the model.
        rows: For each row the augmentations to apply in turn; empty for clean images. At least one row.
        parameters: Parameter of each augmentation, by name.

    Returns:
        bool [rows, n].
    """
    model.eval()
    rngs: list[torch.Generator] = []
    correct: list[Tensor] = []
    for batch in split.batches(BATCH_SIZE):
        rngs = rngs or [torch.Generator(batch.images.device).manual_seed(SEED) for _ in rows]
        images = to_float(batch.images)
        pairs = zip(rows, rngs, strict=True)
        outputs = [model(augment_floats(images, names, parameters or {}, rng)) for names, rng in pairs]
        correct.append(torch.stack([output.argmax(1) == batch.labels for output in outputs]))
    return torch.cat(correct, 1)
