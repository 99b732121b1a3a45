"""Export jobs: a model to compile, with the images that the parity gate uses and the outputs that they should give."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt
import torch

from allweather.exporters.calibration import (
    CalibrationSet,
    brighten,
    corrupt_all,
    corrupt_every_second,
    darken,
)
from allweather.exporters.parity import ModelOutputs, images_note
from allweather.runtimes.bundle.manifest import Precision, Role
from allweather.runtimes.engines.base import Engine
from allweather.runtimes.engines.open import infer_all
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.types import Floats, Image
from allweather.trainers.data.split import LabeledImages, Split

if TYPE_CHECKING:
    import openvino

log = logging.getLogger(__name__)

# The parity gate uses at most this many validation images, a corrupted copy of each, and a brighter or darker one. An
# accuracy of 90 % is then known to +-1.9 points, and an agreement of 99.9 % to +-0.2 points (95 % intervals).
MAX_PARITY_IMAGES = 1000


class ModelSource(Protocol):
    """A model in the form that it was made in, from which all candidates are compiled: of torch, an ONNX file, or IR.

    Each graph takes uint8 NHWC RGB images and gives float32 [n, outputs]; see `DeployedModel`. Graphs are made once.
    """

    @property
    def name(self) -> str:
        """What runs the model as it was made, for messages: "torch", or "the original" for a file."""

    @property
    def precision(self) -> Precision:
        """Precision of the model as it was made. Candidates of a higher one differ from it by its rounding."""

    @property
    def fp32(self) -> bytes:
        """ONNX graph in float32.

        Raises:
            EngineError: The model has an operation that ONNX does not have, or there is no ONNX graph of it.
        """

    @property
    def fp16(self) -> bytes:
        """ONNX graph in which every tensor is float16, as a strongly typed TensorRT network wants it.

        Raises:
            EngineError: As for `fp32`.
        """

    def openvino(self) -> openvino.Model:
        """Returns a new float model for OpenVINO.

        Raises:
            EngineError: OpenVINO does not have one of its operations.
        """

    def run(self, images: Image) -> Floats:
        """Runs the model as it was made, independently of the graphs above.

        Args:
            images: uint8 [n, h, w, 3], RGB.

        Returns:
            float32 [n, outputs]: logits, or predicted losses.
        """


@dataclass(frozen=True)
class ExportJob:
    """One model to export, with everything that compiling it and checking its parity needs.

    Attributes:
        role: "classifier", "predictor" or "large".
        source: The model.
        spec: Input size of the model.
        clean: Images of the parity gate, uint8 [n, h, w, 3]. For a predictor every second one is corrupted.
        corrupted: The same images, all corrupted; None for a predictor.
        bright: Every second image from index 0 on, brightened; None for a predictor.
        dark: Every second image from index 1 on, darkened; None for a predictor.
        labels: Class indices of the images, int64 [n]; None for a predictor.
        reference: Outputs of the source for these images.
        calibration: Images for INT8 calibration; None if no INT8 model is exported.
    """

    role: Role
    source: ModelSource
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


def classifier_job(
    source: ModelSource,
    spec: InputSpec,
    images: Split,
    calibration: CalibrationSet | None,
    role: Role = "classifier",
) -> ExportJob:
    """Returns the job of a classifier.

    Args:
        source: The classifier.
        spec: Its input.
        images: Images of the parity gate, see `parity_images`.
        calibration: Images for INT8 calibration; None if no INT8 model is exported.
        role: "classifier", or "large" for the second one of a cascade.
    """
    clean, labels = images.images.numpy(), images.labels.numpy()
    kinds = (clean, corrupt_all(clean), brighten(clean[::2]), darken(clean[1::2]))
    return ExportJob(role, source, spec, *kinds, labels, _outputs(source.run, *kinds), calibration)


def predictor_job(source: ModelSource, spec: InputSpec, images: Split, calibration: CalibrationSet | None) -> ExportJob:
    """Returns the job of a loss predictor; arguments as in `classifier_job`, with the images of its classifier."""
    if calibration:
        calibration = CalibrationSet(_prepare_all(calibration.images, spec), calibration.provenance)
    mixed = _prepare_all(corrupt_every_second(images.images.numpy()), spec)
    reference = ModelOutputs(source.run(mixed), None)
    return ExportJob("predictor", source, spec, mixed, None, None, None, None, reference, calibration)


def parity_images(validation: LabeledImages) -> Split:
    """Returns the validation images that the parity gate uses, without those of them that cannot be read.

    A warning says so if they are few.
    """
    count = min(MAX_PARITY_IMAGES, len(validation))
    chosen = validation.take(torch.linspace(0, len(validation) - 1, count).long()).loaded()
    if note := images_note(len(chosen)):
        log.warning("%s", note)
    return chosen


def _outputs(
    run: Callable[[Image], Floats], clean: Image, corrupted: Image | None, bright: Image | None, dark: Image | None
) -> ModelOutputs:
    """Runs a model on each kind of images that there is."""
    others = [run(images) if images is not None and len(images) else None for images in (corrupted, bright, dark)]
    return ModelOutputs(run(clean), *others)


def _prepare_all(images: Image, spec: InputSpec) -> Image:
    return np.asarray([spec.prepare(image) for image in images], np.uint8)
