"""The checkpoint: a trained classifier and a record of its training, in one safetensors file with a JSON header."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from allweather.runtimes.bundle.manifest import Input
from allweather.runtimes.bundle.validation import first_validation_error
from allweather.runtimes.errors import CheckpointError, UsageError
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.system.path_argument import as_path
from allweather.runtimes.tta.policy import Policy, check_ranked_views
from allweather.trainers.checkpoint import tensor_file
from allweather.trainers.checkpoint.foreign import plain_names, read_state_dict
from allweather.trainers.checkpoint.predictor_file import (
    PredictorHeader,
    TrainedPredictor,
    load_predictor,
    missing_predictor_error,
)
from allweather.trainers.checkpoint.weights import check_finite, load_weights, path_text
from allweather.trainers.choices import StrengthName
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.models.registry import Classifier, build_model

PREDICTOR_PREFIX = "predictor/"  # before the names of the predictor's weights
RECORDED_LIBRARIES = ("allweather", "torch", "torchvision", "lightning-fabric", "numpy", "safetensors")
# What a file may hold instead of a classifier, and what to do with it; for error messages.
OTHER_FILES = {
    tensor_file.PREDICTOR: "only a loss predictor; 'allweather train-predictor CHECKPOINT --use' adds it",
    tensor_file.AUGMENTATION: "a learned augmentation; 'allweather train --augment learned:FILE' trains with it",
}
STATE_DICT = "weights but no allweather checkpoint; 'allweather import' makes one from a state dict"


@dataclass(frozen=True)
class Checkpoint:
    """A trained classifier and a record of its training.

    Attributes:
        arch: Name of the architecture, one of `ARCHITECTURES`.
        classes: Names of the classes, in the order of the logits.
        input: Input of the network: size in pixels, and the mean and std of the normalization.
        weights: State dict of the network, without the normalization, which is in `input`.
        data: Name of the data set that it was trained on, or "imported".
        seed: Random seed of the run.
        settings: Settings of the run, as plain values.
        metrics: Metrics of the run, by name; accuracies are in 0..1.
        history: One row of metrics for each epoch.
        strengths: Parameters of the photometric augmentations, by name, from the augmentation strength search; empty
            before the search.
        predictor: Loss predictor for this classifier; None before one was trained.
        policies: Tuned test-time augmentation policies, the chosen one first.
        versions: Versions of Python and of the libraries that made the checkpoint, by name.
    """

    arch: str
    classes: tuple[str, ...]
    input: InputSpec
    weights: Mapping[str, Tensor]
    data: str
    seed: int
    settings: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    history: tuple[Mapping[str, float], ...] = ()
    strengths: Mapping[str, float] = field(default_factory=dict)
    predictor: TrainedPredictor | None = None
    policies: tuple[Policy, ...] = ()
    versions: Mapping[str, str] = field(default_factory=lambda: library_versions(RECORDED_LIBRARIES))

    def classifier(self) -> Classifier:
        """Builds the classifier with these weights, in eval mode.

        Raises:
            CheckpointError: The architecture is not in `ARCHITECTURES`, or weights do not fit it; the message names the
                first of them.
        """
        try:
            model = build_model(self.arch, len(self.classes), self.input)
        except UsageError as error:
            raise CheckpointError(f"the checkpoint cannot be built: {error}") from error
        load_weights(model, self.weights)
        return model.eval()

    def with_predictor(self, predictor: TrainedPredictor) -> Checkpoint:
        """Returns the checkpoint with a loss predictor; policies that rank views then rank those of this predictor.

        Args:
            predictor: A loss predictor for this classifier.

        Raises:
            UsageError: A policy chooses more views than the predictor has, or this allweather does not know a view.
        """
        policies = tuple(policy.with_predictor_views(predictor.views) for policy in self.policies)
        return replace(self, predictor=predictor, policies=policies)

    @property
    def hflip(self) -> bool | None:
        """Whether an image keeps its class when it is flipped horizontally; None where the training does not say."""
        value = self.settings.get("hflip")
        return value if isinstance(value, bool) else None

    def adapt(self, dataset: Dataset) -> Dataset:
        """Returns a data set with this classifier's order of the classes, flipped only if its training data may be.

        Args:
            dataset: Data of the same classes, which are matched by name.

        Raises:
            UsageError: The data set has other classes; the message names those that only one of them has.
        """
        adapted = dataset.with_classes(self.classes)
        return adapted if self.hflip is None else replace(adapted, hflip=self.hflip)


class _Header(BaseModel):
    """The JSON header of the file, with the fields of `Checkpoint`; unknown fields are refused."""

    model_config = ConfigDict(extra="forbid")
    format: Literal["allweather-checkpoint"] = tensor_file.CHECKPOINT  # type: ignore[assignment]
    schema_version: Literal[2] = 2
    arch: str
    classes: Annotated[tuple[str, ...], Field(min_length=2)]
    input: Input
    data: str
    seed: int
    settings: dict[str, Any]
    metrics: dict[str, float]
    history: tuple[dict[str, float], ...]
    strengths: dict[StrengthName, Annotated[float, Field(allow_inf_nan=False)]] = {}
    predictor: PredictorHeader | None = None
    policies: tuple[Policy, ...] = ()
    versions: dict[str, str]


def save_checkpoint(path: Path | str, checkpoint: Checkpoint) -> None:
    """Writes a checkpoint to a file, completely or not at all.

    Raises:
        OutputError: The file cannot be written.
    """
    path = as_path(path)
    header = _Header(
        arch=checkpoint.arch,
        classes=checkpoint.classes,
        input=Input.from_spec(checkpoint.input),
        data=checkpoint.data,
        seed=checkpoint.seed,
        settings=dict(checkpoint.settings),
        metrics=dict(checkpoint.metrics),
        history=tuple(dict(row) for row in checkpoint.history),
        strengths=dict(checkpoint.strengths),  # type: ignore[arg-type] # validated here
        predictor=PredictorHeader.from_predictor(checkpoint.predictor) if checkpoint.predictor else None,
        policies=checkpoint.policies,
        versions=dict(checkpoint.versions),
    )
    weights = dict(checkpoint.weights)
    if checkpoint.predictor:
        weights |= {PREDICTOR_PREFIX + key: value for key, value in checkpoint.predictor.weights.items()}
    tensor_file.write(path, weights, header.model_dump(mode="json"))


def extract_predictor(path: Path | str) -> TrainedPredictor:
    """Reads a loss predictor from a checkpoint, or from a file that holds only a loss predictor.

    Raises:
        CheckpointError: The file is missing or damaged, or it holds no loss predictor.
    """
    path = as_path(path)
    _, raw = tensor_file.read(path)
    if not raw or raw.get("format") != tensor_file.CHECKPOINT:
        return load_predictor(path)
    predictor = load_checkpoint(path).predictor
    if predictor is None:
        raise missing_predictor_error(path)
    return predictor


def load_checkpoint(path: Path | str) -> Checkpoint:
    """Reads a checkpoint from its file.

    Raises:
        CheckpointError: The file is missing, damaged, of another schema version, or not a checkpoint.
    """
    path = as_path(path)
    weights, raw = tensor_file.read(path)
    file_format = raw.get("format") if raw else None
    if raw is None or file_format != tensor_file.CHECKPOINT:
        raise CheckpointError(f"{path} holds {OTHER_FILES.get(str(file_format), STATE_DICT)}")
    tensor_file.check_schema(path, raw, "train or import it again")
    try:
        header = _Header.model_validate(raw)
        if header.predictor:
            check_ranked_views(header.policies, header.predictor.views)
    except (ValidationError, UsageError) as error:
        raise CheckpointError(
            f"{path} is damaged: {first_validation_error(error)}; train or import it again"
        ) from error
    check_finite(weights, path_text(path))
    predictor_weights = {
        key.removeprefix(PREDICTOR_PREFIX): weights.pop(key)
        for key in list(weights)
        if key.startswith(PREDICTOR_PREFIX)
    }
    return Checkpoint(
        arch=header.arch,
        classes=header.classes,
        input=header.input.spec(),
        weights=weights,
        data=header.data,
        seed=header.seed,
        settings=header.settings,
        metrics=header.metrics,
        history=header.history,
        strengths={str(name): value for name, value in header.strengths.items()},
        predictor=header.predictor.with_weights(predictor_weights) if header.predictor else None,
        policies=header.policies,
        versions=header.versions,
    )


def checkpoint_from_state_dict(path: Path | str, arch: str, classes: tuple[str, ...], spec: InputSpec) -> Checkpoint:
    """Makes a checkpoint from a state dict that was trained elsewhere, in a .safetensors or .pth file.

    Prefixes that wrapper modules add to every name are removed (`WRAPPER_PREFIXES`), and a last layer called `fc` or
    `linear` gets the name that the architecture has for it.

    Args:
        path: The file.
        arch: Name of the architecture, one of `ARCHITECTURES`.
        classes: Names of the classes, in the order of the logits.
        spec: Input of the network: size in pixels, and the mean and std that it was trained with.

    Raises:
        CheckpointError: The file cannot be read, or a weight is missing, left over, or of another shape.
    """
    path = as_path(path)
    weights = plain_names(read_state_dict(path))
    model = build_model(arch, len(classes), spec)
    own = model.network.state_dict()
    for theirs, ours in (("fc", "linear"), ("linear", "fc")):
        if f"{ours}.weight" in own and f"{theirs}.weight" in weights:
            for part in ("weight", "bias"):
                if f"{theirs}.{part}" in weights:
                    weights[f"{ours}.{part}"] = weights.pop(f"{theirs}.{part}")
    for key in own:  # counters of BatchNorm, which do not affect the output and are missing in older files
        if key.endswith("num_batches_tracked") and key not in weights:
            weights[key] = own[key]
    try:
        load_weights(model, weights)
    except CheckpointError as error:
        raise CheckpointError(f"{path_text(path)}: {error}") from error
    return Checkpoint(arch, classes, spec, model.network.state_dict(), "imported", 0)


def library_versions(libraries: tuple[str, ...]) -> dict[str, str]:
    """Returns the versions of Python and of those libraries that are installed, by name."""
    versions = {"python": platform.python_version()}
    for name in libraries:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions
