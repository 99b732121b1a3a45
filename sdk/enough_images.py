"""What the images of a data set are enough for: which commands have as many as they need, and what follows if not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from allweather.exporters.calibration import ENOUGH_CALIBRATION_IMAGES, MIN_CALIBRATION_IMAGES
from allweather.trainers.data.division import size_of_part
from allweather.trainers.data.held_out import SHARE
from allweather.trainers.data.inventory import THIN_TRAIN_IMAGES, Inventory
from allweather.trainers.methods.loss_predictor import held_back
from allweather.trainers.steps.tuning_images import ENOUGH_IMAGES
from allweather.trainers.training.uncertainty import LEVEL, MIN_IMAGES

TYPICAL_ERROR = 0.1  # of a classifier, for which the width of an interval is told
NORMAL_QUANTILE = 1.96  # of an interval of 95 %


@dataclass(frozen=True)
class Purpose:
    """Something that images are needed for, and whether there are enough.

    Attributes:
        purpose: The command, and what it does with them.
        counted: Which images count: a split, or the smallest class of one.
        images: Number of them.
        enough_from: Number from which on there are enough; None where each further image helps alike.
        conclusion: What the images are enough for, in plain words.
    """

    purpose: str
    counted: str
    images: int
    enough_from: int | None
    conclusion: str


def purposes(inventory: Inventory) -> tuple[Purpose, ...]:
    """Returns what the images of a data set are enough for; nothing for one that cannot be used.

    Args:
        inventory: Inventory of the data set. A split that is missing or has no images is held out of train, as the
            commands do it.
    """
    splits = {split.split: split.images for split in inventory.splits if any(split.images.values())}
    if inventory.problems or "train" not in splits:
        return ()
    held_out = [] if "val" in splits else [name for name in ("val", "test") if name not in splits]
    train, parts = _held_out(list(splits["train"].values()), len(held_out))
    counts = {name: sum(images.values()) for name, images in splits.items()} | dict(zip(held_out, parts, strict=True))
    val = counts["val"]
    if not val:  # no class has an image for it
        return ()
    ranked = math.ceil(val / held_back.PARTS) if val >= held_back.ENOUGH_IMAGES else val
    test = "test" if counts.get("test") else "val"
    return (
        _training(train),
        _int8(sum(train)),
        _loss_predictor(val),
        _policy("tune-policy", "val", val),
        _policy("tune-policy, views by predicted loss", "of val", ranked),
        _accepted(val // 2),
        _evaluation(test, counts[test]),
    )


def few_val_notes(images: int) -> tuple[str, ...]:
    """Returns a sentence for a val split of so few images that no policy can be chosen by them; else nothing.

    Args:
        images: Number of images of the val split.
    """
    if images >= MIN_IMAGES:
        return ()
    return (
        f"{images} images for val are too few to compare policies, so one view will be stored: {MIN_IMAGES} are "
        "needed; add images, or divide them into train, val and test yourself, with more of them in val",
    )


def _held_out(counts: Sequence[int], parts: int) -> tuple[list[int], list[int]]:
    """Returns how many images of each class stay in train, and how many each part gets that is held out of it."""
    left, sizes = list(counts), [0] * parts
    for label, count in enumerate(counts):
        for part in range(parts):
            taken = size_of_part(count, SHARE, left[label])
            left[label] -= taken
            sizes[part] += taken
    return left, sizes


def _training(counts: Sequence[int]) -> Purpose:
    thin = sum(count < THIN_TRAIN_IMAGES for count in counts)
    conclusion = f"{thin} of {len(counts)} classes have fewer" if thin else "enough to start"
    return Purpose("train", "a class", min(counts), THIN_TRAIN_IMAGES, conclusion)


def _int8(images: int) -> Purpose:
    conclusion = "enough"
    if images < MIN_CALIBRATION_IMAGES:
        conclusion = "too few: FP32 alone"
    elif images < ENOUGH_CALIBRATION_IMAGES:
        conclusion = "works with rough ranges"
    return Purpose("export to INT8", "train", images, ENOUGH_CALIBRATION_IMAGES, conclusion)


def _loss_predictor(val: int) -> Purpose:
    conclusion = "enough" if val >= held_back.ENOUGH_IMAGES else "learns on train, less well"
    return Purpose("train-predictor", "val", val, held_back.ENOUGH_IMAGES, conclusion)


def _policy(purpose: str, counted: str, images: int) -> Purpose:
    conclusion = "enough"
    if images < MIN_IMAGES:
        conclusion = "too few: one view is stored"
    elif images < ENOUGH_IMAGES:
        conclusion = "chooses; confidence is rough"
    return Purpose(purpose, counted, images, ENOUGH_IMAGES, conclusion)


def _accepted(images: int) -> Purpose:
    """Without an error among n images, the risk is below 1 - 0.05^(1/n) with a probability of 95 %."""
    risk = 1 - (1 - LEVEL) ** (1 / max(images, 1))
    return Purpose("tune-policy --risk", "half of val", images, None, f"shows a risk of {100 * risk:.2g} % at best")


def _evaluation(counted: str, images: int) -> Purpose:
    points = 100 * NORMAL_QUANTILE * math.sqrt(TYPICAL_ERROR * (1 - TYPICAL_ERROR) / max(images, 1))
    return Purpose(
        "evaluate", counted, images, None, f"an error of {100 * TYPICAL_ERROR:.0f} % is ± {points:.2g} points"
    )
