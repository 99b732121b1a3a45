"""Export jobs: the classifier, and the loss predictor beside it, each with the images that the parity gate uses."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from allweather.exporters.calibration import (
    CalibrationSet,
    brighten,
    calibration_set,
    corrupt_all,
    corrupt_every_second,
    darken,
)
from allweather.exporters.parity import ModelOutputs, images_note
from allweather.runtimes.bundle.manifest import Role
from allweather.runtimes.engines.base import Engine
from allweather.runtimes.engines.open import infer_all
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.types import Floats, Image
from allweather.trainers.checkpoint.checkpoint import Checkpoint
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.training.inference import logits

log = logging.getLogger(__name__)

# The parity gate uses at most this many validation images, a corrupted copy of each, and a brighter or darker one. An
# accuracy of 90 % is then known to +-1.9 points, and an agreement of 99.9 % to +-0.2 points (95 % intervals).
MAX_PARITY_IMAGES = 1000


@dataclass(frozen=True)
class ExportJob:
    """One model to export, with everything that compiling it and checking its parity needs.

    Attributes:
        role: "classifier" or "predictor".
        model: Module in eval mode; float [n, 3, h, w] in 0..1 -> float [n, outputs].
        spec: Input size of the model.
        clean: Images of the parity gate, uint8 [n, h, w, 3]. For a predictor every second one is corrupted.
        corrupted: The same images, all corrupted; None for a predictor.
        bright: Every second image from index 0 on, brightened; None for a predictor.
        dark: Every second image from index 1 on, darkened; None for a predictor.
        labels: Class indices of the images, int64 [n]; None for a predictor.
        reference: Outputs of the torch model for these images.
        calibration: Images for INT8 calibration; None if no INT8 model is exported.
    """

    role: Role
    model: nn.Module
    spec: InputSpec
    clean: Image
    corrupted: Image | None
    bright: Image | None
    dark: Image | None
    labels: npt.NDArray[np.int64] | None
    reference: ModelOutputs
    calibration: CalibrationSet | None

    @property
    def num_outputs(self) -> int:
        """Outputs for each image: one for each class, or one for each view."""
        return int(self.reference.clean.shape[1])

    def run(self, engine: Engine) -> ModelOutputs:
        """Returns an engine's outputs for the images of the parity gate."""
        return _outputs(lambda images: infer_all(engine, images), self.clean, self.corrupted, self.bright, self.dark)


def export_jobs(checkpoint: Checkpoint, dataset: Dataset, *, int8: bool) -> Iterator[ExportJob]:
    """Yields the job of the classifier, then that of the loss predictor if the checkpoint has one.

    Args:
        checkpoint: Classifier, with or without a loss predictor.
        dataset: The train split calibrates INT8; the validation split is used by the parity gate.
        int8: Whether calibration images are needed.

    Raises:
        DataError: There are too few images for calibration.
        CheckpointError: The weights do not fit the architecture.
    """
    calibration = calibration_set(dataset) if int8 else None
    count = min(MAX_PARITY_IMAGES, len(dataset.val))
    chosen = dataset.val.take(torch.linspace(0, len(dataset.val) - 1, count).long())
    clean, labels = chosen.images.numpy(), chosen.labels.numpy()
    note = images_note(count)
    if note:
        log.warning("%s", note)
    classifier = checkpoint.classifier()
    kinds = (clean, corrupt_all(clean), brighten(clean[::2]), darken(clean[1::2]))
    reference = _outputs(lambda images: _torch_outputs(classifier, images), *kinds)
    yield ExportJob("classifier", classifier, checkpoint.input, *kinds, labels, reference, calibration)
    if checkpoint.predictor is None:
        return
    predictor, spec = checkpoint.predictor.model(), checkpoint.predictor.input
    if calibration:
        calibration = CalibrationSet(_prepare_all(calibration.images, spec), calibration.provenance)
    mixed = _prepare_all(corrupt_every_second(clean), spec)
    reference = ModelOutputs(_torch_outputs(predictor, mixed), None)
    yield ExportJob("predictor", predictor, spec, mixed, None, None, None, None, reference, calibration)


def _outputs(
    run: Callable[[Image], Floats], clean: Image, corrupted: Image | None, bright: Image | None, dark: Image | None
) -> ModelOutputs:
    """Runs a model on each kind of images that there is."""
    others = [run(images) if images is not None and len(images) else None for images in (corrupted, bright, dark)]
    return ModelOutputs(run(clean), *others)


def _torch_outputs(model: nn.Module, images: Image) -> Floats:
    outputs: Floats = logits(model, torch.from_numpy(images)).numpy()
    return outputs


def _prepare_all(images: Image, spec: InputSpec) -> Image:
    return np.asarray([spec.prepare(image) for image in images], np.uint8)
