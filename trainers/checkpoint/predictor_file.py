"""A trained loss predictor as it travels: inside its classifier's checkpoint, or alone in a file of the same kind."""

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
from allweather.runtimes.tta.views import view
from allweather.trainers.checkpoint import tensor_file
from allweather.trainers.models.loss_predictor import LossPredictor, build_predictor
from allweather.trainers.models.registry import weights_digest


@dataclass(frozen=True)
class TrainedPredictor:
    """A loss predictor and how it came about.

    Attributes:
        kind: of `predictors.PREDICTORS`.
        input: what it takes.
        views: names of the views whose losses it predicts, in the order of its outputs.
        classifier_digest: digest of the classifier that it was trained for.
        weights: its state dict.
        settings: of the training, as plain values.
        metrics: what was measured, by name.
        history: one row an epoch.
    """

    kind: str
    input: InputSpec
    views: tuple[str, ...]
    classifier_digest: str
    weights: Mapping[str, Tensor]
    settings: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    history: tuple[Mapping[str, float], ...] = ()

    def model(self) -> LossPredictor:
        """The network with these weights, in eval mode.

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
            raise CheckpointError(f"the predictor cannot be built: {error}") from error
        except RuntimeError as error:
            raise CheckpointError(
                "the predictor cannot be built: its weights are those of another network; train it again"
            ) from error
        return model.eval()

    def check_classifier(self, classifier: nn.Module) -> None:
        """Refuses a classifier that it was not trained for.

        Raises:
            UsageError: saying so.
        """
        own = weights_digest(classifier)
        if own != self.classifier_digest:
            raise UsageError(
                f"the predictor was trained for another classifier ({self.classifier_digest}, not {own}); "
                "name the checkpoint that it belongs to, or train one for this"
            )


class PredictorHeader(BaseModel):
    """The JSON part; anything else than this is refused."""

    model_config = ConfigDict(extra="forbid")
    kind: str
    input: Input
    views: Annotated[tuple[str, ...], Field(min_length=1, max_length=64)]
    classifier_digest: str
    settings: dict[str, Any]
    metrics: dict[str, float]
    history: tuple[dict[str, float], ...]

    @staticmethod
    def of(trained: TrainedPredictor) -> PredictorHeader:
        """All but the weights."""
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
        """What `of` took apart."""
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


class _File(PredictorHeader):
    format: Literal["allweather-predictor"] = tensor_file.PREDICTOR  # type: ignore[assignment]
    schema_version: Literal[2] = 2


def save_predictor(path: Path, trained: TrainedPredictor) -> None:
    """Writes a predictor alone, whole or not at all.

    Raises:
        OutputError: the file cannot be written.
    """
    header = _File(**PredictorHeader.of(trained).model_dump())
    tensor_file.write(path, trained.weights, header.model_dump(mode="json"))


def missing_predictor_error(path: Path) -> CheckpointError:
    """What to raise for a file without a predictor."""
    return CheckpointError(f"{path} holds no loss predictor; 'allweather predictor' trains one")


def load_predictor(path: Path) -> TrainedPredictor:
    """Reads a predictor that lies alone.

    Raises:
        CheckpointError: it is missing, damaged, or something else.
    """
    weights, raw = tensor_file.read(path)
    if raw is None or raw.get("format") != tensor_file.PREDICTOR:
        raise missing_predictor_error(path)
    tensor_file.check_schema(path, raw, "train the predictor again")
    try:
        return _File.model_validate(raw).with_weights(weights)
    except ValidationError as error:
        raise CheckpointError(
            f"{path} is damaged: {first_validation_error(error)}; train the predictor again"
        ) from error
