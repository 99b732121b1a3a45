"""How often a classifier is right, how sure it is of that, and what it takes for what."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from allweather.evaluation.metrics import calibration_error, compute_metrics, reliability_bins
from allweather.evaluation.model import EvaluatedModel, open_model
from allweather.evaluation.provenance import Provenance
from allweather.trainers.data.dataset import Dataset


@dataclass(frozen=True)
class Evaluation:
    """A classifier measured on test pictures.

    Attributes:
        provenance: What was evaluated, on which data and machine.
        classes: names, in the order of `confusion`.
        accuracy: share of pictures put into their class, 0..1.
        calibration_error: expected calibration error over 15 bins of confidence, 0..1.
        brier: mean squared distance of the probabilities from the truth, 0..2.
        nll: mean negative log-likelihood of the true class, in nats.
        images_per_second: in batches.
        class_accuracy: share of the pictures of each class that are put into it.
        confusion: [true class][answered class] numbers of pictures.
        reliability: for each bin of confidence (pictures, mean confidence, accuracy).
    """

    provenance: Provenance
    classes: tuple[str, ...]
    accuracy: float
    calibration_error: float
    brier: float
    nll: float
    images_per_second: float
    class_accuracy: dict[str, float]
    confusion: tuple[tuple[int, ...], ...]
    reliability: tuple[tuple[int, float, float], ...]


def evaluate_file(
    path: Path, data: str, *, engine: str | None = None, precision: str | None = None, download: bool = False
) -> Evaluation:
    """Measures a checkpoint (with torch) or a bundle (with an engine) on the test split of a data set.

    Args:
        path: a .safetensors file, or a bundle.
        data: name of the data set.
        engine: of a bundle; the fastest that runs here if None.
        precision: of a bundle; INT8 where it has it if None.
        download: let torchvision fetch CIFAR.

    Raises:
        UsageError: the data is of other classes, or a checkpoint is given an engine.
        AllweatherError: the target or the data cannot be read; see `open_model` and `open_dataset`.
    """
    with open_model(path, engine=engine, precision=precision) as target:
        return evaluate(target, target.open_data(data, download=download))


def evaluate(target: EvaluatedModel, dataset: Dataset) -> Evaluation:
    """Measures an open target on the test split of a data set of its classes and size."""
    images, labels = dataset.test.images.numpy(), dataset.test.labels.numpy()
    target.logits(images[:8])  # the first call pays for set-up
    began = time.perf_counter()
    answers = target.logits(images)
    seconds = time.perf_counter() - began
    confusion = confusion_matrix(answers.argmax(1), labels, len(dataset.classes))
    totals = confusion.sum(axis=1)
    scores = compute_metrics(answers, labels)
    bins = reliability_bins(scores.confidence, scores.right)
    return Evaluation(
        provenance=Provenance.of(target, dataset),
        classes=dataset.classes,
        accuracy=float(np.trace(confusion) / len(labels)),
        calibration_error=calibration_error(bins),
        brier=float(scores.brier.mean()),
        nll=float(scores.nll.mean()),
        images_per_second=len(labels) / seconds,
        class_accuracy={
            name: float(confusion[i, i] / totals[i]) for i, name in enumerate(dataset.classes) if totals[i]
        },
        confusion=tuple(tuple(int(count) for count in row) for row in confusion),
        reliability=bins,
    )


def confusion_matrix(
    answered: npt.NDArray[np.int64], labels: npt.NDArray[np.int64], classes: int
) -> npt.NDArray[np.int64]:
    """int64 [C, C]: how many pictures of the row's class were put into the column's."""
    counts = np.bincount(labels * classes + answered, minlength=classes * classes)
    return counts.reshape(classes, classes).astype(np.int64)
