"""The export jobs of a checkpoint: its classifier and its loss predictor, which are modules of torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import openvino
import torch
from torch import nn

from allweather.exporters.calibration import calibration_set
from allweather.exporters.job import ExportJob, classifier_job, parity_images, predictor_job
from allweather.exporters.onnx.convert import to_onnx
from allweather.exporters.openvino.convert import read_onnx
from allweather.runtimes.bundle.manifest import Precision
from allweather.runtimes.errors import UsageError
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.types import Floats, Image
from allweather.trainers.checkpoint.checkpoint import Checkpoint
from allweather.trainers.checkpoint.checkpoint_file import load_checkpoint
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.inference.forward import logits
from allweather.trainers.models.own_model import OWN


@dataclass(frozen=True)
class TorchSource:
    """A module of torch as a `ModelSource`.

    Attributes:
        model: Module in eval mode; float [n, 3, h, w] in 0..1 -> float [n, outputs].
        spec: Input size of the model.
        name: See `ModelSource`.
        precision: See `ModelSource`.
    """

    model: nn.Module
    spec: InputSpec
    name: str = "torch"
    precision: Precision = "fp32"

    @cached_property
    def fp32(self) -> bytes:
        """See `ModelSource`."""
        return to_onnx(self.model, self.spec)

    @cached_property
    def fp16(self) -> bytes:
        """See `ModelSource`."""
        return to_onnx(self.model, self.spec, torch.float16)

    def openvino(self) -> openvino.Model:
        """See `ModelSource`."""
        return read_onnx(self.fp32)

    def run(self, images: Image) -> Floats:
        """See `ModelSource`."""
        outputs: Floats = logits(self.model, torch.from_numpy(images)).numpy()
        return outputs


def export_jobs(
    checkpoint: Checkpoint, dataset: Dataset, large: Checkpoint | None = None, *, int8: bool
) -> Iterator[ExportJob]:
    """Yields the job of the classifier, then those of the large classifier and of the loss predictor if there are any.

    Args:
        checkpoint: Classifier, with or without a loss predictor.
        dataset: The train split calibrates INT8; the validation split is used by the parity gate.
        large: The large classifier of a cascade; None for none.
        int8: Whether calibration images are needed.

    Raises:
        DataError: There are too few images for calibration.
        CheckpointError: The weights do not fit the architecture.
    """
    calibration = calibration_set(dataset) if int8 else None
    images = parity_images(dataset.val)
    yield classifier_job(TorchSource(checkpoint.classifier(), checkpoint.input), checkpoint.input, images, calibration)
    if large is not None:
        yield classifier_job(TorchSource(large.classifier(), large.input), large.input, images, calibration, "large")
    if checkpoint.predictor is not None:
        spec = checkpoint.predictor.input
        yield predictor_job(TorchSource(checkpoint.predictor.model(), spec), spec, images, calibration)


def second_classifier(first: Checkpoint, large: Checkpoint | Path | str) -> Checkpoint:
    """Returns the large classifier that is to be exported together with another one.

    Args:
        first: The classifier that runs on every frame.
        large: A checkpoint, or its file.

    Raises:
        UsageError: It has other classes, or the same in another order, or another input than the first one.
        CheckpointError: The file is damaged.
    """
    second = large if isinstance(large, Checkpoint) else load_checkpoint(large)
    if second.arch.startswith(OWN) and second.module is None:
        raise UsageError(
            "the large classifier is a network of your own, which the command line takes for the first classifier "
            "alone; in Python: export(..., large=load_checkpoint(path, model=...))"
        )
    if second.classes != first.classes:
        raise UsageError(
            "the large classifier has other classes than the classifier, or the same in another order; train both on "
            "the same data"
        )
    mine, theirs = first.input, second.input
    if (mine.height, mine.width, mine.crop) != (theirs.height, theirs.width, theirs.crop):
        raise UsageError(
            f"the large classifier takes images of {_in_words(theirs)}, and the classifier of {_in_words(mine)}; both "
            "run on the same prepared image, so train both at the same size"
        )
    return second


def _in_words(spec: InputSpec) -> str:
    return f"{spec.width} x {spec.height} px, crop {spec.crop.kind} {spec.crop.fraction:g}"
