"""What is compiled: the classifier, and the loss predictor beside it, each with the pictures that it is judged on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from allweather.exporters.calibration import CalibrationSet, calibration_set, corrupted, half_corrupted
from allweather.exporters.parity import ModelOutputs
from allweather.runtimes.bundle.manifest import Role
from allweather.runtimes.engines.registry import Engine, infer_all
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.types import Floats, Image
from allweather.trainers.checkpoint.checkpoint import Checkpoint
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.training.inference import logits

JUDGED = 1000  # validation pictures, and as many corrupted: +-1.9 points at 90 %, +-0.2 for an agreement of 99.9 %


@dataclass(frozen=True)
class ExportJob:
    """One network to compile.

    Attributes:
        role: what it is for.
        model: float [n, 3, h, w] in 0..1 -> float [n, outputs], in eval mode.
        spec: what it takes.
        clean: uint8 [n, h, w, 3], pictures that it is judged on; for a predictor every second one is corrupted.
        corrupted: the same ones corrupted; None for a predictor.
        labels: int64 [n], the truth; None for a predictor.
        answers: torch's.
        calibration: for INT8; None where it is not asked for.
    """

    role: Role
    model: nn.Module
    spec: InputSpec
    clean: Image
    corrupted: Image | None
    labels: npt.NDArray[np.int64] | None
    answers: ModelOutputs
    calibration: CalibrationSet | None

    @property
    def outputs(self) -> int:
        """Numbers that it answers with for each picture."""
        return int(self.answers.clean.shape[1])

    def asked(self, engine: Engine) -> ModelOutputs:
        """An engine's answers to the pictures that this network is judged on."""
        return ModelOutputs(
            infer_all(engine, self.clean), None if self.corrupted is None else infer_all(engine, self.corrupted)
        )


def export_jobs(checkpoint: Checkpoint, dataset: Dataset, *, int8: bool) -> Iterator[ExportJob]:
    """The classifier, then the predictor where there is one.

    Args:
        checkpoint: of both.
        dataset: its train split calibrates INT8; its validation split is what they are judged on.
        int8: whether calibration pictures are needed.

    Raises:
        DataError: there are too few pictures to calibrate on.
        CheckpointError: the weights do not fit.
    """
    calibration = calibration_set(dataset) if int8 else None
    count = min(JUDGED, len(dataset.val))
    some = dataset.val.take(torch.linspace(0, len(dataset.val) - 1, count).long())
    clean, classifier = some.images.numpy(), checkpoint.classifier()
    worse = corrupted(clean)
    answers = ModelOutputs(_torch(classifier, clean), _torch(classifier, worse))
    yield ExportJob("classifier", classifier, checkpoint.input, clean, worse, some.labels.numpy(), answers, calibration)
    if checkpoint.predictor is None:
        return
    model, seen = checkpoint.predictor.model(), checkpoint.predictor.input
    if calibration:
        calibration = CalibrationSet(_seen(calibration.images, seen), calibration.provenance)
    small = _seen(half_corrupted(clean), seen)
    yield ExportJob("predictor", model, seen, small, None, None, ModelOutputs(_torch(model, small), None), calibration)


def _torch(model: nn.Module, images: Image) -> Floats:
    answers: Floats = logits(model, torch.from_numpy(images)).numpy()
    return answers


def _seen(images: Image, spec: InputSpec) -> Image:
    return np.asarray([spec.prepare(image) for image in images], np.uint8)
