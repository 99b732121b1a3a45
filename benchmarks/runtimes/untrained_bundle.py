"""Bundles of untrained models, for benchmarks of speed, which does not depend on the weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from allweather.exporters.checkpoint_export import ExportOptions, export
from allweather.runtimes.bundle.manifest import EngineName, Precision
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.tta.views import VIEWS
from allweather.trainers.checkpoint.checkpoint import Checkpoint
from allweather.trainers.checkpoint.predictor_file import TrainedPredictor
from allweather.trainers.data.dataset import Dataset, Split
from allweather.trainers.models.classifier import weights_digest
from allweather.trainers.models.loss_predictor import build_predictor, predictor_input_spec
from allweather.trainers.models.registry import build_model

IMAGES = 40
CLASSES = tuple(f"class{index}" for index in range(10))


def untrained_bundle(
    path: Path,
    arch: str = "resnet50",
    size: int = 224,
    engines: Sequence[EngineName] = ("openvino",),
    precisions: Sequence[Precision] = ("int8",),
) -> None:
    """Writes a bundle with an untrained classifier and a tiny loss predictor.

    Args:
        path: Bundle to write.
        arch: Architecture of the classifier.
        size: Height and width of its images, in pixels.
        engines: Engines to export for.
        precisions: Precisions to export in.
    """
    torch.manual_seed(0)
    spec = InputSpec(size, size)
    model, predictor_spec = build_model(arch, len(CLASSES), spec), predictor_input_spec(spec)
    weights = build_predictor("tiny", predictor_spec).state_dict()
    predictor = TrainedPredictor("tiny", predictor_spec, tuple(VIEWS), weights_digest(model), weights)
    images = torch.randint(0, 256, (IMAGES, size, size, 3), dtype=torch.uint8)
    split = Split(images, torch.arange(IMAGES) % len(CLASSES))
    data = Dataset("random", CLASSES, split, split, split, hflip=True)
    start = Checkpoint(arch, CLASSES, spec, model.network.state_dict(), "random", 0, predictor=predictor)
    export(start, data, path, ExportOptions(list(engines), list(precisions), force=True))
