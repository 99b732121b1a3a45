"""Models that can be evaluated: checkpoints, which run in torch, and bundles, which run in an engine."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import nn

from allweather.runtimes.bundle.bundle import Bundle
from allweather.runtimes.bundle.manifest import Model
from allweather.runtimes.engines.open import infer_all, open_engine
from allweather.runtimes.errors import UsageError
from allweather.runtimes.load import open_large_classifier, open_loss_predictor
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.system.path_argument import as_path
from allweather.runtimes.tta.policy import LARGE, Policy
from allweather.runtimes.tta.views import VIEWS, view
from allweather.runtimes.types import Floats, Image
from allweather.trainers.checkpoint.checkpoint import Checkpoint
from allweather.trainers.checkpoint.checkpoint_file import load_checkpoint
from allweather.trainers.checkpoint.predictor_file import TrainedPredictor
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.data.registry import open_dataset_of
from allweather.trainers.data.streamed.reading import AS_IT_FITS, Reading
from allweather.trainers.inference.forward import logits
from allweather.trainers.models.activation_hooks import capture_layer
from allweather.trainers.models.classifier import weights_digest
from allweather.trainers.models.own_code import code_digest

BATCH_SIZE = 500  # images that evaluations generate or read, and run, at a time; random draws are made batch by batch


@dataclass(frozen=True)
class EvaluatedModel:
    """A classifier that is open for evaluation.

    Attributes:
        path: Path of the checkpoint or bundle; the name of the architecture for a checkpoint that is in no file.
        backend: What runs it, such as "torch fp32" or "openvino int8".
        classes: Names of the classes, in the order of the logits.
        input: Size of its input images.
        logits: Runs the classifier: uint8 [n, h, w, 3] -> float32 [n, C] logits.
        fingerprint: SHA-256 of the checkpoint file; of a bundle, SHA-256 of its manifest, which holds the hashes of its
            other files, or of its .zip file.
        history: One row for each epoch of a checkpoint's training; empty for bundles and imported weights.
        strengths: A checkpoint's augmentation strengths, by augmentation; empty if it has none.
        predict_losses: Runs the loss predictor: uint8 [n, h, w, 3] -> float32 [n, V] predicted losses; None without a
            loss predictor.
        policies: The policies that were tuned for the model.
        features: Computes the input of the last linear layer: uint8 [n, h, w, 3] -> float32 [n, F]; None for a bundle.
        predictor_views: Names of the views that `predict_losses` predicts the losses of, in the order of its columns;
            the built-in twelve without a loss predictor.
        hflip: Whether an image keeps its class when it is flipped horizontally; None where the training does not say.
        large_logits: Runs a bundle's large classifier, as `logits`; None without one.
        large_cost: How many times as long one view takes there as on the classifier, as measured at the export.
        source: The checkpoint or bundle that was opened, to make another one of: at its path there may be a new one.
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
    hflip: bool | None = None
    large_logits: Callable[[Image], Floats] | None = None
    large_cost: float = 1.0
    source: Checkpoint | Bundle | None = None

    def run_view(self, name: str, images: Image) -> Floats:
        """Runs one view of images on the classifier that its name says: float32 [n, C] logits.

        Args:
            name: Name of a view; after "large:", of one for the large classifier.
            images: uint8 [n, h, w, 3].
        """
        viewed = np.stack([view(name.removeprefix(LARGE)).apply(image) for image in images])
        if not name.startswith(LARGE):
            return self.logits(viewed)
        assert self.large_logits is not None  # as `check_runnable` makes sure
        return self.large_logits(viewed)

    def open_data(self, name: str, *, reading: Reading = AS_IT_FITS, download: bool = False) -> Dataset:
        """Opens a data set at the model's input size.

        Args:
            name: Name of the data set, such as "signs" or "folder:PATH".
            reading: Whether the images of files are streamed, and how.
            download: Whether CIFAR may be downloaded.

        Raises:
            UsageError: The data set has other classes than the model.
            DataError: The data set cannot be read; see `open_dataset`.
        """
        return open_dataset_of(name, self.classes, self.input, reading=reading, download=download)


@contextmanager
def open_model(
    source: Path | str | Checkpoint,
    *,
    engine: str | None = None,
    precision: str | None = None,
    model: nn.Module | str | None = None,
) -> Iterator[EvaluatedModel]:
    """Opens a checkpoint or a bundle for evaluation, for as long as the `with` block lasts.

    Args:
        source: Path of a .safetensors checkpoint or of a bundle; or a checkpoint in memory.
        engine: Engine that runs a bundle; the fastest that works on this machine if None.
        precision: Precision that a bundle runs in; INT8 if the bundle has it and None is given.
        model: Network of a checkpoint of the user's own; see `load_checkpoint`.

    Raises:
        UsageError: An engine or a precision is given for a checkpoint, or a network for a bundle.
        AllweatherError: The file cannot be read; see `load_checkpoint` and `Bundle.open`.
    """
    if not isinstance(source, Checkpoint) and (path := as_path(source)).suffix != ".safetensors":
        if model is not None:
            raise UsageError(f"{path} is a bundle, which holds its network; leave out --model")
        with _open_bundle(path, engine, precision) as evaluated:
            yield evaluated
        return
    if engine or precision:
        raise UsageError("a checkpoint runs in torch at fp32; --engine and --precision are for bundles")
    if isinstance(source, Checkpoint):
        yield _opened(source if model is None else source.with_module(model), Path(source.arch), "")
    else:
        yield _opened(load_checkpoint(path, model), path, _sha256(path))


def _opened(trained: Checkpoint, path: Path, fingerprint: str) -> EvaluatedModel:
    """Opens a checkpoint; one that is in no file has a hash of its weights as its fingerprint."""
    device = torch.device("cpu")
    if torch.cuda.is_available():  # each of several processes uses a GPU of its own
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    model = trained.classifier().to(device)

    def infer(images: Image) -> Floats:
        return logits(model, torch.from_numpy(images).to(device)).cpu().numpy()

    def features(images: Image) -> Floats:
        with capture_layer(model, "feature") as captured:
            logits(model, torch.from_numpy(images).to(device))
        return torch.cat([batch.flatten(1).float() for batch in captured]).cpu().numpy()

    return EvaluatedModel(
        path=path,
        backend="torch fp32",
        classes=trained.classes,
        input=trained.input,
        logits=infer,
        fingerprint=(fingerprint or weights_digest(model)) + code_digest(model),
        history=trained.history,
        strengths=trained.strengths,
        predict_losses=_loss_prediction(trained.predictor, device) if trained.predictor else None,
        policies=trained.policies,
        features=features,
        predictor_views=trained.predictor.views if trained.predictor else tuple(VIEWS),
        hflip=trained.hflip,
        source=trained,
    )


@contextmanager
def _open_bundle(path: Path, engine: str | None, precision: str | None) -> Iterator[EvaluatedModel]:
    bundle = Bundle.open(path)
    fingerprint = _sha256(path / "manifest.json" if path.is_dir() else path)
    with ExitStack() as stack:
        classifier, chosen = open_engine(bundle, engine, precision)
        stack.callback(classifier.close)
        predict_losses = None
        if bundle.manifest.predictor:
            loss_predictor, spec = open_loss_predictor(bundle, chosen, engine), bundle.input_of("predictor")
            stack.callback(loss_predictor.close)

            def predict_losses(images: Image) -> Floats:
                return infer_all(loss_predictor, np.stack([spec.prepare(image) for image in images]))

        large_logits, large_cost = None, 1.0
        if bundle.has_large:
            large, large_model = open_large_classifier(bundle, chosen, engine, precision)
            stack.callback(large.close)
            large_cost = _large_cost(chosen, large_model)

            def large_logits(images: Image) -> Floats:
                return infer_all(large, images)

        yield EvaluatedModel(
            path=path,
            backend=f"{chosen.engine} {chosen.precision}" if chosen else "fake",
            classes=bundle.classes,
            input=bundle.input,
            logits=lambda images: infer_all(classifier, images),
            fingerprint=fingerprint,
            predict_losses=predict_losses,
            policies=bundle.manifest.policies,
            predictor_views=bundle.manifest.views if bundle.manifest.predictor else tuple(VIEWS),
            large_logits=large_logits,
            large_cost=large_cost,
            source=bundle,
        )


def _large_cost(classifier: Model | None, large: Model | None) -> float:
    """Returns `EvaluatedModel.large_cost`; 1 where the export measured no time."""
    if classifier is None or large is None or not classifier.seconds or not large.seconds:
        return 1.0
    return max(large.seconds[0] / classifier.seconds[0], 1.0) if classifier.seconds[0] else 1.0


def _loss_prediction(predictor: TrainedPredictor, device: torch.device) -> Callable[[Image], Floats]:
    """Returns the function that runs a loss predictor in torch, as `EvaluatedModel.predict_losses`."""
    model, spec = predictor.model().to(device), predictor.input

    def predict_losses(images: Image) -> Floats:
        prepared = np.stack([spec.prepare(image) for image in images])
        return logits(model, torch.from_numpy(prepared).to(device)).cpu().numpy()

    return predict_losses


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
