"""What is compiled: the classifier, and the loss predictor beside it, each with the pictures that it is judged on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from allweather.exporters.calibrate import CalibrationSet, calibration_set
from allweather.runtimes.frame import Floats, Image
from allweather.runtimes.image import InputSpec
from allweather.runtimes.manifest import Role
from allweather.trainers.checkpoint import Checkpoint
from allweather.trainers.corrupt.catalogue import COMMON, corrupt
from allweather.trainers.splits import Dataset
from allweather.trainers.targets import logits

PARITY_PICTURES = 1000  # of the test split; +-1.9 points at 90 % (95 % interval), +-0.2 for an agreement of 99.9 %
SEVERITY = 3


@dataclass(frozen=True)
class Subject:
    """One network to compile.

    Attributes:
        role: what it is for.
        model: float [n, 3, h, w] in 0..1 -> float [n, outputs], in eval mode.
        spec: what it takes.
        images: uint8 [n, h, w, 3], pictures that it is judged on.
        answers: float32 [n, outputs], torch's to them.
        labels: int64 [n], the truth; None where there is none.
        calibration: for INT8; None where it is not asked for.
    """

    role: Role
    model: nn.Module
    spec: InputSpec
    images: Image
    answers: Floats
    labels: npt.NDArray[np.int64] | None
    calibration: CalibrationSet | None


def subjects(checkpoint: Checkpoint, dataset: Dataset, *, int8: bool) -> Iterator[Subject]:
    """The classifier, then the predictor where there is one.

    Args:
        checkpoint: of both.
        dataset: its train split calibrates INT8; its test split is what they are judged on.
        int8: whether calibration pictures are needed.

    Raises:
        DataError: there are too few pictures to calibrate on.
        CheckpointError: the weights do not fit.
    """
    calibration = calibration_set(dataset) if int8 else None
    count = min(PARITY_PICTURES, len(dataset.test))
    some = dataset.test.take(torch.linspace(0, len(dataset.test) - 1, count).long())
    images, classifier = some.images.numpy(), checkpoint.classifier()
    answers = logits(classifier, some.images).numpy()
    yield Subject("classifier", classifier, checkpoint.input, images, answers, some.labels.numpy(), calibration)
    if checkpoint.predictor is None:
        return
    model, seen = checkpoint.predictor.model(), checkpoint.predictor.seen
    if calibration:
        calibration = CalibrationSet(_seen(half_corrupted(calibration.images), seen), calibration.provenance)
    small = _seen(half_corrupted(images), seen)
    answers = logits(model, torch.from_numpy(small)).numpy()
    yield Subject("predictor", model, seen, small, answers, None, calibration)


def half_corrupted(images: Image) -> Image:
    """Every second picture as a predictor's work is: through one of the 15 common corruptions, in turn."""
    out: Image = images.copy()
    for number, name in enumerate(COMMON):
        mine = slice(2 * number + 1, None, 2 * len(COMMON))
        if len(out[mine]):
            out[mine] = corrupt(out[mine], name, SEVERITY, np.random.default_rng(number))
    return out


def _seen(images: Image, spec: InputSpec) -> Image:
    return np.asarray([spec.prepare(image) for image in images], np.uint8)
