"""A trained loss predictor and its file: inside the checkpoint of its classifier, or in a file of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor, nn

from allweather.runtimes.bundle.manifest import Input
from allweather.runtimes.bundle.validation import first_validation_error
from allweather.runtimes.errors import CheckpointError, UsageError
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.system.path_argument import as_path
from allweather.runtimes.tta.views import view
from allweather.trainers.checkpoint import tensor_file
from allweather.trainers.checkpoint.weights import check_finite, path_text
from allweather.trainers.models.classifier import weights_digest
from allweather.trainers.models.loss_predictor import LossPredictor, build_predictor


@dataclass(frozen=True)
class TrainedPredictor:
    """The weights of a loss predictor and a record of how it was trained.

    Attributes:
        kind: Name of the network, one of `PREDICTORS`.
        input: Input of the network.
        views: Names of the views whose losses it predicts, in the order of its outputs.
        classifier_digest: Digest of the weights of the classifier that it was trained for, from `weights_digest`.
        weights: State dict of the network.
        settings: Settings of the training, as plain values.
        metrics: Metrics of the training, by name.
        history: One row of metrics for each epoch.
    """

    kind: str
    input: InputSpec
    views: tuple[str, ...]
    classifier_digest: str
    weights: Mapping[str, Tensor] = field(repr=False)
    settings: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    history: tuple[Mapping[str, float], ...] = field(default=(), repr=False)

    def model(self) -> LossPredictor:
        """Builds the network with these weights, in eval mode.

        Raises:
            CheckpointError: This allweather does not know one of its views, or its weights do not fit.
        """
        for name in self.views:
            try:
                view(name)
            except UsageError as error:
                raise CheckpointError(
                    f"the loss predictor is for the view {name[:64]!r}, which this allweather does not know; register "
                    "it with allweather.register_view, update allweather, or train the predictor again"
                ) from error
        try:
            model = build_predictor(self.kind, self.input, len(self.views))
            model.load_state_dict(dict(self.weights))
        except UsageError as error:
            raise CheckpointError(f"the loss predictor cannot be built: {error}") from error
        except RuntimeError as error:
            raise CheckpointError(
                "the loss predictor cannot be built: its weights belong to another network; train it again"
            ) from error
        return model.eval()

    def check_classifier(self, classifier: nn.Module) -> None:
        """Checks that the predictor was trained for a classifier.

        Raises:
            UsageError: It was trained for another classifier.
        """
        digest = weights_digest(classifier)
        if digest != self.classifier_digest:
            raise UsageError(
                f"the loss predictor was trained for another classifier ({self.classifier_digest}, not {digest}); "
                "name the checkpoint that it belongs to, or train a predictor for this one"
            )


class PredictorHeader(BaseModel):
    """The JSON header of a predictor, with the fields of `TrainedPredictor`; unknown fields are refused."""

    model_config = ConfigDict(extra="forbid")
    kind: str
    input: Input
    views: Annotated[tuple[str, ...], Field(min_length=1, max_length=64)]
    classifier_digest: str
    settings: dict[str, Any]
    metrics: dict[str, float]
    history: tuple[dict[str, float], ...]

    @staticmethod
    def from_predictor(trained: TrainedPredictor) -> PredictorHeader:
        """Returns the header of a predictor: everything but its weights."""
        return PredictorHeader(
            kind=trained.kind,
            input=Input.from_spec(trained.input),
            views=trained.views,
            classifier_digest=trained.classifier_digest,
            settings=dict(trained.settings),
            metrics=dict(trained.metrics),
            history=tuple(dict(row) for row in trained.history),
        )

    def with_weights(self, weights: Mapping[str, Tensor]) -> TrainedPredictor:
        """Returns the predictor of this header with its weights."""
        return TrainedPredictor(
            kind=self.kind,
            input=self.input.spec(),
            views=self.views,
            classifier_digest=self.classifier_digest,
            weights=weights,
            settings=self.settings,
            metrics=self.metrics,
            history=self.history,
        )


class _FileHeader(PredictorHeader):
    """The header of a file that holds nothing but a predictor."""

    format: Literal["allweather-predictor"] = tensor_file.PREDICTOR  # type: ignore[assignment]
    schema_version: Literal[2] = 2


def save_predictor(path: Path | str, trained: TrainedPredictor) -> None:
    """Writes a predictor to a file of its own, completely or not at all.

    Raises:
        OutputError: The file cannot be written.
    """
    path = as_path(path)
    header = _FileHeader(**PredictorHeader.from_predictor(trained).model_dump())
    tensor_file.write(path, trained.weights, header.model_dump(mode="json"))


def missing_predictor_error(path: Path) -> CheckpointError:
    """Returns the error to raise for a file without a loss predictor."""
    return CheckpointError(f"{path} holds no loss predictor; 'allweather train-predictor' trains one")


def load_predictor(path: Path | str) -> TrainedPredictor:
    """Reads a loss predictor from a file of its own; that of a checkpoint is `load_checkpoint(path).predictor`.

    Args:
        path: The file, such as `predictor-published-resnet20.safetensors` of the samples.

    Raises:
        CheckpointError: The file is missing, damaged, of another schema version, or not a predictor.
    """
    path = as_path(path)
    weights, raw = tensor_file.read(path)
    if raw is None or raw.get("format") != tensor_file.PREDICTOR:
        raise missing_predictor_error(path)
    tensor_file.check_schema(path, raw, "train the predictor again")
    try:
        header = _FileHeader.model_validate(raw)
    except ValidationError as error:
        raise CheckpointError(
            f"{path} is damaged: {first_validation_error(error)}; train the predictor again"
        ) from error
    check_finite(weights, path_text(path))
    return header.with_weights(weights)
