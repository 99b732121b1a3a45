"""What can be measured: a checkpoint in torch, or a bundle in an engine, both as pictures in and logits out."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from allweather.runtimes.bundle.bundle import Bundle
from allweather.runtimes.engines.open import infer_all, open_engine
from allweather.runtimes.errors import UsageError
from allweather.runtimes.load import open_loss_predictor
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.tta.policy import Policy
from allweather.runtimes.tta.views import VIEWS
from allweather.runtimes.types import Floats, Image
from allweather.trainers.checkpoint.checkpoint import load_checkpoint
from allweather.trainers.checkpoint.predictor_file import TrainedPredictor
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.data.registry import open_dataset_of
from allweather.trainers.models.activation_hooks import capture_layer
from allweather.trainers.training.inference import logits


@dataclass(frozen=True)
class EvaluatedModel:
    """A classifier that answers.

    Attributes:
        path: the checkpoint or bundle.
        model: what runs it, such as "torch fp32" or "openvino int8".
        classes: names, in the order of the logits.
        input: size of its pictures.
        answer: uint8 [n, h, w, 3] -> float32 [n, C] logits.
        fingerprint: SHA-256 of its weights; of the manifest of a bundle, which holds those of all its files.
        history: of a checkpoint's training, one row an epoch; empty for bundles and imported weights.
        strengths: a checkpoint's calibrated parameters of augmentations; empty where there are none.
        rank: uint8 [n, h, w, 3] -> float32 [n, V] predicted losses; None without a loss predictor.
        policies: that were tuned for it.
        features: uint8 [n, h, w, 3] -> float32 [n, F], what a checkpoint's last linear layer takes; None for a bundle.
        predictor_views: Names of the views that `predict_losses` predicts the losses of, in the order of its columns;
            the built-in twelve without a loss predictor.
    """

    path: Path
    backend: str
    classes: tuple[str, ...]
    input: InputSpec
    logits: Callable[[Image], Floats]
    fingerprint: str
    history: tuple[Mapping[str, float], ...] = ()
    strengths: Mapping[str, float] = field(default_factory=dict)
    predict_losses: Callable[[Image], Floats] | None = None
    policies: tuple[Policy, ...] = ()
    features: Callable[[Image], Floats] | None = None
    predictor_views: tuple[str, ...] = tuple(VIEWS)

    def open_data(self, name: str, *, download: bool = False) -> Dataset:
        """A data set at its input size.

        Raises:
            UsageError: the data is of other classes.
            DataError: it cannot be read; see `open_dataset`.
        """
        return open_dataset_of(name, self.classes, self.input, download=download)


@contextmanager
def open_model(path: Path, *, engine: str | None = None, precision: str | None = None) -> Iterator[EvaluatedModel]:
    """Opens a checkpoint or a bundle to be measured.

    Args:
        path: a .safetensors file, or a bundle.
        engine: of a bundle; the fastest that runs here if None.
        precision: of a bundle; INT8 where it has it if None.

    Raises:
        UsageError: a checkpoint is given an engine.
        AllweatherError: it cannot be read; see `checkpoint.load` and `Bundle.open`.
    """
    if path.suffix == ".safetensors":
        if engine or precision:
            raise UsageError("a checkpoint runs in torch at fp32; --engine and --precision are for bundles")
        trained = load_checkpoint(path)
        device = torch.device("cpu")
        if torch.cuda.is_available():  # of several processes each has its own
            device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        model = trained.classifier().to(device)

        def answer(images: Image) -> Floats:
            return logits(model, torch.from_numpy(images).to(device)).cpu().numpy()

        def features(images: Image) -> Floats:
            with capture_layer(model, "feature") as found:
                logits(model, torch.from_numpy(images).to(device))
            return torch.cat([each.flatten(1).float() for each in found]).cpu().numpy()

        yield EvaluatedModel(
            path,
            "torch fp32",
            trained.classes,
            trained.input,
            answer,
            _sha256(path),
            trained.history,
            trained.strengths,
            _ranking(trained.predictor, device) if trained.predictor else None,
            trained.policies,
            features,
            trained.predictor.views if trained.predictor else tuple(VIEWS),
        )
        return
    bundle = Bundle.open(path)
    listed = _sha256(path / "manifest.json" if path.is_dir() else path)
    with ExitStack() as stack:
        running, chosen = open_engine(bundle, engine, precision)
        stack.callback(running.close)
        rank = None
        if bundle.manifest.predictor:
            loss_predictor, seen = open_loss_predictor(bundle, chosen, engine), bundle.input_of("predictor")
            stack.callback(loss_predictor.close)

            def rank(images: Image) -> Floats:
                return infer_all(loss_predictor, np.stack([seen.prepare(image) for image in images]))

        name = f"{chosen.engine} {chosen.precision}" if chosen else "fake"
        yield EvaluatedModel(
            path,
            name,
            bundle.classes,
            bundle.input,
            lambda images: infer_all(running, images),
            listed,
            predict_losses=rank,
            policies=bundle.manifest.policies,
            predictor_views=bundle.manifest.views if bundle.manifest.predictor else tuple(VIEWS),
        )


def _ranking(predictor: TrainedPredictor, device: torch.device) -> Callable[[Image], Floats]:
    """What predicts losses in torch."""
    model, seen = predictor.model().to(device), predictor.input

    def rank(images: Image) -> Floats:
        small = np.stack([seen.prepare(image) for image in images])
        return logits(model, torch.from_numpy(small).to(device)).cpu().numpy()

    return rank


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
