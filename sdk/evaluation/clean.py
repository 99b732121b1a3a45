"""Evaluation on clean test images: accuracy, confidence, confusion matrix and scores of each class."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from allweather.evaluation.error_rate import CLEAN, Correctness
from allweather.evaluation.metric_arguments import check_indices
from allweather.evaluation.metrics import (
    ClassScores,
    calibration_error,
    class_scores,
    compute_metrics,
    reliability_bins,
)
from allweather.evaluation.provenance import Provenance
from allweather.runtimes.errors import UsageError
from allweather.runtimes.setting_types import is_whole
from allweather.runtimes.text import NOT_IN_JSON
from allweather.runtimes.types import Floats
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.data.split import LabeledImages
from allweather.trainers.inference.open_model import BATCH_SIZE, EvaluatedModel

MAX_CONFUSION_CLASSES = 2000  # of a confusion matrix in a result, which of 20,000 would take many gigabytes
WARM_UP_IMAGES = 8  # run before the clock starts, because the first call also sets up the backend


@dataclass(frozen=True)
class CleanEvaluation:
    """Result of evaluating a classifier on clean test images.

    Attributes:
        provenance: What was evaluated, on which data and machine.
        classes: Names of the classes, in the order of `confusion`.
        accuracy: Share of correct predictions, 0..1.
        calibration_error: Expected calibration error over 15 bins of confidence, 0..1.
        brier: Brier score: mean squared distance between the probabilities and the one-hot true class, 0..2.
        nll: Mean negative log-likelihood of the true class, in nats.
        images_per_second: Images per second that the model takes, run in batches; reading them does not count.
        precision: Mean precision of the classes, 0..1 (macro average; classes without test images do not count).
        recall: Mean recall of the classes, 0..1, which is their mean accuracy.
        f1: Mean F1 of the classes, 0..1.
        by_class: Images, precision, recall and F1 of each class that has test images, by name.
        confusion: Number of images, int [C, C]: rows are true classes, columns are predicted classes. Empty where there
            are more than 2,000 classes.
        reliability: For each bin of confidence (number of images, mean confidence, accuracy).
        correctness: Which predictions are correct, for `paired_difference`; not in JSON.
    """

    provenance: Provenance
    classes: tuple[str, ...]
    accuracy: float
    calibration_error: float
    brier: float
    nll: float
    images_per_second: float
    precision: float
    recall: float
    f1: float
    by_class: dict[str, ClassScores]
    confusion: tuple[tuple[int, ...], ...]
    reliability: tuple[tuple[int, float, float], ...]
    correctness: Correctness = field(repr=False, compare=False, metadata=NOT_IN_JSON)


def clean_evaluation(evaluated: EvaluatedModel, dataset: Dataset) -> CleanEvaluation:
    """Evaluates an open model on the test split of a data set.

    Args:
        evaluated: The model; see `open_model`.
        dataset: A data set of its classes and input size, whose test images can all be read; see `Dataset.readable`.

    Raises:
        EngineError: The logits of some images are not finite.
    """
    logits, seconds = _timed_logits(evaluated, dataset.test)
    labels = dataset.test.labels.numpy()
    metrics = compute_metrics(logits, labels)
    scores = class_scores(metrics.predicted, labels)
    bins = reliability_bins(metrics.confidence, metrics.correct)
    return CleanEvaluation(
        provenance=Provenance.of(evaluated, dataset),
        classes=dataset.classes,
        accuracy=float(metrics.correct.mean()),
        calibration_error=calibration_error(bins),
        brier=float(metrics.brier.mean()),
        nll=float(metrics.nll.mean()),
        images_per_second=len(labels) / seconds,
        precision=float(np.mean([each.precision for each in scores.values()])),
        recall=float(np.mean([each.recall for each in scores.values()])),
        f1=float(np.mean([each.f1 for each in scores.values()])),
        by_class={dataset.classes[label]: each for label, each in scores.items()},
        confusion=_confusion(metrics.predicted, labels, len(dataset.classes)),
        reliability=bins,
        correctness=Correctness.of(dataset, {CLEAN: metrics.correct}),
    )


def _confusion(
    predicted: npt.NDArray[np.int64], labels: npt.NDArray[np.int64], classes: int
) -> tuple[tuple[int, ...], ...]:
    """Returns the confusion matrix of few enough classes, and an empty one of more."""
    if classes > MAX_CONFUSION_CLASSES:
        return ()
    return tuple(tuple(row) for row in confusion_matrix(predicted, labels, classes).tolist())


def _timed_logits(evaluated: EvaluatedModel, images: LabeledImages) -> tuple[Floats, float]:
    """Runs the model on images; returns the logits, float32 [n, C], and the seconds that it took."""
    parts: list[Floats] = []
    seconds = 0.0
    for batch in images.batches(BATCH_SIZE):
        pixels = batch.images.numpy()
        if not parts:
            evaluated.logits(pixels[:WARM_UP_IMAGES])
        started = time.perf_counter()
        parts.append(evaluated.logits(pixels))
        seconds += time.perf_counter() - started
    return np.concatenate(parts), seconds


def confusion_matrix(
    predicted: npt.NDArray[np.int64], labels: npt.NDArray[np.int64], num_classes: int
) -> npt.NDArray[np.int64]:
    """Counts the images of each true class by their predicted class.

    Args:
        predicted: int64 [n], indices of the predicted classes.
        labels: int64 [n], indices of the true classes.
        num_classes: Number of classes C.

    Returns:
        int64 [C, C]: rows are true classes, columns are predicted classes.

    Raises:
        UsageError: The arrays are no indices of C classes, one for each image.
    """
    if not is_whole(num_classes) or num_classes < 1:
        raise UsageError(f"the number of classes is a whole number, at least 1; got {num_classes!r:.40}")
    check_indices("predicted classes", predicted, predicted, num_classes)
    check_indices("labels", labels, predicted, num_classes)
    cells = labels.astype(np.int64) * num_classes + predicted.astype(np.int64)  # in uint8 it would overflow
    counts = np.bincount(cells, minlength=num_classes * num_classes)
    return counts.reshape(num_classes, num_classes).astype(np.int64)
