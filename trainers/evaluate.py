"""How often a classifier is right, how sure it is of that, and what it takes for what."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from allweather.runtimes.bundle import Bundle
from allweather.runtimes.device import this_device
from allweather.runtimes.engine import answer_all, open_engine
from allweather.runtimes.errors import UsageError
from allweather.runtimes.frame import Floats
from allweather.runtimes.image import InputSpec
from allweather.trainers import checkpoint as checkpoints
from allweather.trainers.batches import to_float
from allweather.trainers.data import open_dataset
from allweather.trainers.splits import Dataset, Split

BATCH = 250  # of forward passes without gradients; larger ones leave the CPU's cache
BINS = 15  # of the calibration error, as in Guo et al. 2017 (arXiv:1706.04599)


@dataclass(frozen=True)
class Evaluation:
    """A classifier measured on test pictures.

    Attributes:
        target: the checkpoint or bundle.
        model: what ran it, such as "torch fp32" or "openvino int8".
        data: name of the data set.
        classes: names, in the order of `confusion`.
        notes: how its splits were made.
        images: number of test pictures.
        accuracy: share of pictures put into their class, 0..1.
        calibration_error: expected calibration error over 15 bins of confidence, 0..1.
        images_per_second: in batches.
        class_accuracy: share of the pictures of each class that are put into it.
        confusion: [true class][answered class] numbers of pictures.
        reliability: for each bin of confidence (pictures, mean confidence, accuracy).
        machine: where it ran.
        history: of a checkpoint's training, one row an epoch; empty for bundles and imported weights.
    """

    target: str
    model: str
    data: str
    classes: tuple[str, ...]
    notes: tuple[str, ...]
    images: int
    accuracy: float
    calibration_error: float
    images_per_second: float
    class_accuracy: dict[str, float]
    confusion: tuple[tuple[int, ...], ...]
    reliability: tuple[tuple[int, float, float], ...]
    machine: str
    history: tuple[Mapping[str, float], ...] = ()


def evaluate_target(
    target: Path, data: str, *, engine: str | None = None, precision: str | None = None, download: bool = False
) -> Evaluation:
    """Measures a checkpoint (with torch) or a bundle (with an engine) on the test split of a data set.

    Args:
        target: a .safetensors file, or a bundle.
        data: name of the data set.
        engine: of a bundle; the fastest that runs here if None.
        precision: of a bundle; INT8 where it has it if None.
        download: let torchvision fetch CIFAR.

    Raises:
        UsageError: the data is of other classes, or a checkpoint is given an engine.
        AllweatherError: the target or the data cannot be read; see `load`, `Bundle.open` and `open_dataset`.
    """
    if target.suffix == ".safetensors":
        if engine or precision:
            raise UsageError("a checkpoint runs in torch at fp32; --engine and --precision are for bundles")
        trained = checkpoints.load(target)
        model = trained.classifier()
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        model.to(device)
        test = _test_split(data, trained.classes, trained.input, download)
        measured = _measured(
            str(target), "torch fp32", test, lambda split: logits(model, split.images.to(device)).cpu().numpy()
        )
        return replace(measured, history=trained.history)
    bundle = Bundle.open(target)
    running, chosen = open_engine(bundle, engine, precision)
    name = f"{chosen.engine} {chosen.precision}" if chosen else "fake"
    test = _test_split(data, bundle.classes, bundle.input, download)
    try:
        return _measured(str(target), name, test, lambda split: answer_all(running, split.images.numpy()))
    finally:
        running.close()


def _test_split(data: str, classes: tuple[str, ...], spec: InputSpec, download: bool) -> Dataset:
    dataset = open_dataset(data, spec.height, download=download)
    if dataset.classes != classes:
        raise UsageError(
            f"the classifier knows {len(classes)} classes ({', '.join(classes[:3])}, ...) and {data} has "
            f"{len(dataset.classes)} ({', '.join(dataset.classes[:3])}, ...); name the data it was trained on"
        )
    return dataset


def _measured(target: str, model: str, dataset: Dataset, answer: Callable[[Split], Floats]) -> Evaluation:
    answer(dataset.test.take(torch.arange(min(8, len(dataset.test)))))  # the first call pays for set-up
    began = time.perf_counter()
    answers = answer(dataset.test)
    seconds = time.perf_counter() - began
    labels = dataset.test.labels.numpy()
    confusion = confusion_matrix(answers.argmax(1), labels, len(dataset.classes))
    totals = confusion.sum(axis=1)
    reliability = reliability_bins(answers, labels)
    return Evaluation(
        target=target,
        model=model,
        data=dataset.name,
        classes=dataset.classes,
        notes=dataset.notes,
        images=len(labels),
        accuracy=float(np.trace(confusion) / len(labels)),
        calibration_error=sum(n * abs(sure - right) for n, sure, right in reliability) / len(labels),
        images_per_second=len(labels) / seconds,
        class_accuracy={
            name: float(confusion[i, i] / totals[i]) for i, name in enumerate(dataset.classes) if totals[i]
        },
        confusion=tuple(tuple(int(count) for count in row) for row in confusion),
        reliability=reliability,
        machine=this_device().line(),
    )


def confusion_matrix(
    answered: npt.NDArray[np.int64], labels: npt.NDArray[np.int64], classes: int
) -> npt.NDArray[np.int64]:
    """int64 [C, C]: how many pictures of the row's class were put into the column's."""
    counts = np.bincount(labels * classes + answered, minlength=classes * classes)
    return counts.reshape(classes, classes).astype(np.int64)


def reliability_bins(answers: Floats, labels: npt.NDArray[np.int64]) -> tuple[tuple[int, float, float], ...]:
    """For each of 15 equal bins of confidence: (pictures, mean confidence, accuracy); zeros for an empty one.

    Args:
        answers: float32 [n, C] logits.
        labels: int64 [n].
    """
    probabilities = torch.from_numpy(answers).double().softmax(1).numpy()
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    rows = []
    for number in range(BINS):
        inside = place == number
        count = int(inside.sum())
        rows.append((count, float(confidence[inside].mean()), float(right[inside].mean())) if count else (0, 0.0, 0.0))
    return tuple(rows)


@torch.no_grad()
def logits(model: nn.Module, images: Tensor) -> Tensor:
    """Runs a classifier over pictures.

    Args:
        model: float [n, 3, h, w] in 0..1 -> float [n, C]; put into eval mode.
        images: uint8 [n, h, w, 3], on the model's device.

    Returns:
        float32 [n, C].
    """
    model.eval()
    return torch.cat([model(to_float(part)).float() for part in torch.split(images, BATCH)])


def count_correct(model: nn.Module, split: Split, fabric: Fabric) -> int:
    """Pictures of `split` that are put into their class; the processes of `fabric` share the work."""
    mine = slice(fabric.global_rank, None, fabric.world_size)
    images, labels = split.images[mine], split.labels[mine]
    right = (logits(model, images).argmax(1) == labels).sum()
    return int(all_reduced(fabric, right.float(), "sum"))


def all_reduced(fabric: Fabric, value: Tensor, how: Literal["sum", "mean"]) -> Tensor:
    """The sum or mean of `value` over the processes of `fabric`."""
    reduced = fabric.all_reduce(value, reduce_op=how)
    assert isinstance(reduced, Tensor)  # Fabric gives back the kind it was given
    return reduced
