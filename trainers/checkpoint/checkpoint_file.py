"""The file of a checkpoint: one safetensors file whose header is the record as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import nn

from allweather.runtimes.bundle.manifest import Input
from allweather.runtimes.bundle.stored_policy import StoredPolicy
from allweather.runtimes.bundle.validation import first_validation_error
from allweather.runtimes.errors import CheckpointError, DataError, UsageError
from allweather.runtimes.setting_types import check_instance
from allweather.runtimes.system.path_argument import as_path
from allweather.runtimes.tta.predictor_views import check_ranked_views
from allweather.trainers.checkpoint import tensor_file
from allweather.trainers.checkpoint.checkpoint import Checkpoint
from allweather.trainers.checkpoint.predictor_file import (
    PredictorHeader,
    TrainedPredictor,
    load_predictor,
    missing_predictor_error,
)
from allweather.trainers.checkpoint.weights import check_finite, path_text
from allweather.trainers.choices import StrengthName
from allweather.trainers.data.class_names import check_class_names

PREDICTOR_PREFIX = "predictor/"  # before the names of the predictor's weights
# What a file may hold instead of a classifier, and what to do with it; for error messages.
OTHER_FILES = {
    tensor_file.PREDICTOR: "only a loss predictor; 'allweather train-predictor CHECKPOINT --use' adds it",
    tensor_file.AUGMENTATION: "a learned augmentation; 'allweather train --augment learned:FILE' trains with it",
}
STATE_DICT = "weights but no allweather checkpoint; 'allweather import' makes one from a state dict"


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
    policies: tuple[StoredPolicy, ...] = ()
    versions: dict[str, str]


def save_checkpoint(path: Path | str, checkpoint: Checkpoint) -> None:
    """Writes a checkpoint to a file, completely or not at all.

    Raises:
        OutputError: The file cannot be written.
        UsageError: `checkpoint` is none.
    """
    if isinstance(path, Checkpoint):  # as torch.save has them
        raise UsageError("the path comes before the checkpoint: save_checkpoint(path, checkpoint)")
    path = as_path(path)
    check_instance("checkpoint", checkpoint, Checkpoint, "Checkpoint.of(module, classes, size) makes one of a network")
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


def load_checkpoint(path: Path | str, model: nn.Module | str | None = None) -> Checkpoint:
    """Reads a checkpoint from its file.

    Args:
        path: The file.
        model: The network of a checkpoint that was made of a network of the user's own: a module, which is not changed,
            or package.module:function, which is imported. The file never decides what is imported.

    Raises:
        CheckpointError: The file is missing, damaged, of another schema version, or not a checkpoint; or its weights do
            not fit `model`.
        UsageError: `model` cannot be imported, or is no classifier of these classes and this size.
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
        check_class_names(header.classes)
    except (ValidationError, UsageError, DataError) as error:
        raise CheckpointError(
            f"{path} is damaged: {first_validation_error(error)}; train or import it again"
        ) from error
    check_finite(weights, path_text(path))
    predictor_weights = {
        key.removeprefix(PREDICTOR_PREFIX): weights.pop(key)
        for key in list(weights)
        if key.startswith(PREDICTOR_PREFIX)
    }
    checkpoint = Checkpoint(
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
    return checkpoint if model is None else checkpoint.with_module(model)
