"""Metrics of predictions: scores of each class, calibration error, bootstrap intervals and mean corruption error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from allweather.evaluation.metric_arguments import (
    check_bins,
    check_bools,
    check_errors,
    check_floats,
    check_indices,
    check_logits,
    check_shares,
)
from allweather.runtimes.errors import EngineError, UsageError
from allweather.runtimes.types import Floats
from allweather.trainers.training.uncertainty import LEVEL, resampled_means, unseen_share

NUM_BINS = 15  # of the expected calibration error, as in Guo et al. 2017 (arXiv:1706.04599)
ROUNDING = 1e-5  # of a sum of weights in float32


@dataclass(frozen=True)
class Metrics:
    """What is kept of the classifier's output for each image.

    Attributes:
        predicted: int64 [n], index of the most probable class.
        correct: bool [n], whether that is the true class.
        confidence: float32 [n], the largest probability, 0..1.
        nll: float32 [n], negative log-likelihood of the true class, in nats.
        brier: float32 [n], squared distance between the probabilities and the one-hot true class, 0..2 (Brier 1950).
    """

    predicted: npt.NDArray[np.int64]
    correct: npt.NDArray[np.bool_]
    confidence: Floats
    nll: Floats
    brier: Floats


def compute_metrics(logits: Floats, labels: npt.NDArray[np.int64]) -> Metrics:
    """Computes the metrics of each image.

    Args:
        logits: float32 [n, C].
        labels: int64 [n], indices of the true classes.

    Raises:
        EngineError: The logits of some images are nan or infinite.
        UsageError: The arrays are of another shape or type, or a label is no index of a class.
    """
    check_logits(logits)
    check_indices("labels", labels, logits, logits.shape[1])
    num_invalid = len(logits) - int(np.isfinite(logits).all(axis=1).sum())
    if num_invalid:
        raise EngineError(
            f"the logits of {num_invalid} of {len(logits)} images are not finite: the weights are damaged, or overflow "
            "in this precision; train, import or export the model again"
        )
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    log_probabilities = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    probabilities = np.exp(log_probabilities)
    rows = np.arange(len(labels))
    of_true_class = probabilities[rows, labels]
    predicted = logits.argmax(axis=1)
    return Metrics(
        predicted=predicted,
        correct=predicted == labels,
        confidence=probabilities.max(axis=1).astype(np.float32),
        nll=(-log_probabilities[rows, labels]).astype(np.float32),
        brier=((probabilities**2).sum(axis=1) - 2 * of_true_class + 1).astype(np.float32),
    )


@dataclass(frozen=True)
class ClassScores:
    """How well one class is recognized.

    Attributes:
        images: Number of test images of the class.
        precision: Share of the class among the images that are predicted as it, 0..1; 0 if there are none.
        recall: Share of the images of the class that are predicted as it, 0..1: its accuracy.
        f1: Harmonic mean of precision and recall, 0..1.
    """

    images: int
    precision: float
    recall: float
    f1: float


def class_scores(predicted: npt.NDArray[np.int64], labels: npt.NDArray[np.int64]) -> dict[int, ClassScores]:
    """Computes the scores of each class that has images.

    They come from scikit-learn. torchmetrics has the same, but where it is installed Lightning Fabric imports it, and
    with it scipy.signal and matplotlib: the start of a training would take twice as long.

    Args:
        predicted: int64 [n], indices of the predicted classes.
        labels: int64 [n], indices of the true classes.

    Returns:
        The scores by the index of the class, in rising order.

    Raises:
        UsageError: The arrays are no indices of classes, one for each image.
    """
    check_indices("predicted classes", predicted, predicted)
    check_indices("labels", labels, predicted)
    from sklearn.metrics import precision_recall_fscore_support

    present = np.unique(labels)
    columns = precision_recall_fscore_support(labels, predicted, labels=present, zero_division=0.0)
    return {
        int(label): ClassScores(int(images), float(precision), float(recall), float(f1))
        for label, precision, recall, f1, images in zip(present, *columns, strict=True)
    }


def reliability_bins(
    confidence: npt.NDArray[np.floating], correct: npt.NDArray[np.bool_]
) -> tuple[tuple[int, float, float], ...]:
    """Sorts predictions into 15 bins of equal width by their confidence.

    Args:
        confidence: float [n], 0..1.
        correct: bool [n].

    Returns:
        For each bin (number of images, mean confidence, accuracy); zeros for an empty bin.

    Raises:
        UsageError: The arrays are of another shape or type, or a confidence is not 0..1.
    """
    check_shares("confidences", confidence)
    check_bools("correct predictions", correct, confidence.shape)
    confidence = confidence.astype(np.float64)  # half precision would round some into the next bin
    bins = np.minimum((confidence * NUM_BINS).astype(int), NUM_BINS - 1)
    counts = np.bincount(bins, minlength=NUM_BINS)
    mean_confidence = np.bincount(bins, confidence, NUM_BINS) / np.maximum(counts, 1)
    accuracy = np.bincount(bins, correct, NUM_BINS) / np.maximum(counts, 1)
    return tuple(zip(counts.tolist(), mean_confidence.tolist(), accuracy.tolist(), strict=True))


def calibration_error(bins: tuple[tuple[int, float, float], ...]) -> float:
    """Computes the expected calibration error (ECE): |confidence - accuracy| of the bins, weighted by their images.

    Args:
        bins: As from `reliability_bins`.

    Returns:
        0..1; 0 if the bins are all empty.

    Raises:
        UsageError: They are no bins.
    """
    check_bins(bins)
    total = sum(count for count, _, _ in bins)
    return sum(count * abs(confidence - accuracy) for count, confidence, accuracy in bins) / max(1, total)


def bootstrap_intervals(
    incorrect: npt.NDArray[np.bool_], weights: npt.NDArray[np.floating]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Computes 95 % bootstrap intervals (percentiles) of weighted mean errors over cells.

    Images are resampled, each together with all of its corrupted versions, because those are not independent of each
    other. Where all images have the same mean, as without a single incorrect prediction, resampling shows nothing: the
    interval then holds what so many images may have missed (`unseen_share`).

    Args:
        incorrect: bool [cells, n], whether the prediction for each image of each cell is incorrect.
        weights: float [m, cells], the weight of each cell in each of m means.

    Returns:
        (lower ends, upper ends), each float64 [m], 0..1.

    Raises:
        UsageError: The arrays are of another shape or type, or there are no images.
    """
    check_floats("weights", weights, "m, cells")
    check_bools("incorrect predictions", incorrect, (weights.shape[1], -1))
    if not incorrect.size:
        raise UsageError("an interval needs images; incorrect predictions have none")
    errors_of_images = (weights.astype(np.float32) @ incorrect.astype(np.float32)).T
    quantiles = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    low, high = np.quantile(resampled_means(errors_of_images), quantiles, axis=0)
    least, most = np.minimum(weights, 0).sum(1), np.maximum(weights, 0).sum(1)  # of an image that was not seen
    alike = np.ptp(errors_of_images, axis=0) < ROUNDING * (most - least)
    first, unseen = errors_of_images[0], unseen_share(len(errors_of_images))
    low[alike] = (first - unseen * (first - least))[alike]
    high[alike] = (first + unseen * (most - first))[alike]
    return low, high


def mean_error(errors: Mapping[str, float]) -> float:
    """Returns the mean over corruptions of their mean errors.

    Raises:
        UsageError: There are none, or one is no share, 0..1.
    """
    check_errors("errors", errors)
    if not errors:
        raise UsageError("the mean error is a mean over corruptions; got no errors")
    return sum(errors.values()) / len(errors)


def mean_corruption_error(errors: Mapping[str, float], baseline: Mapping[str, float]) -> float:
    """Computes the mean corruption error (mCE) of Hendrycks and Dietterich 2019, section 4.2.

        mCE = 100 / m sum_c E_c / B_c

    over the m corruptions c of `errors`, with E_c the classifier's error and B_c that of a baseline classifier.

    Args:
        errors: Mean error over the severities of each corruption, by name, 0..1. The published mCE is over the fifteen
            of `COMMON`.
        baseline: The same for the baseline, 0..1, such as `read_baseline("alexnet").errors`; it may have more
            corruptions.

    Returns:
        The mCE in percent; 100 is as good as the baseline.

    Raises:
        UsageError: There are no errors, one is no share, 0..1, or the baseline has no error, or none above 0, for one
            of the corruptions; the message names it.
    """
    for name, each in (("errors", errors), ("baseline", baseline)):
        check_errors(name, each)
    if not errors:
        raise UsageError("the mean corruption error is a mean over corruptions; got no errors")
    missing = [name for name in errors if name not in baseline]
    if missing:
        raise UsageError(f"the baseline has no error for {', '.join(missing)}; add it, or go without a baseline")
    perfect = [name for name in errors if not baseline[name] > 0]
    if perfect:
        raise UsageError(
            f"the baseline's error for {', '.join(perfect)} is {baseline[perfect[0]]:g}, and errors are divided by it: "
            "it must be above 0"
        )
    return 100 * sum(error / baseline[name] for name, error in errors.items()) / len(errors)
