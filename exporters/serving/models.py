"""The models of a bundle that a model server runs: one for each role, with its tensor names and labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

from allweather.runtimes.bundle.bundle import Bundle
from allweather.runtimes.bundle.manifest import EngineName, Model, Role
from allweather.runtimes.errors import BundleError, EngineError
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.text import printable

# Tensor names of every graph. `exporters/onnx/convert.py` sets them, but cannot be imported without torch.
INPUT, OUTPUT = "images", "logits"
# Tensor names of the loss predictor where both models share one request.
PREDICTOR_INPUT, LOSSES = "predictor_images", "losses"
ENSEMBLE = "classifier_and_predictor"
LABELS = "labels.txt"


@dataclass(frozen=True)
class ServedModel:
    """One model as a server runs it.

    Attributes:
        role: "classifier", "predictor" or "large"; also the name of the model on the server.
        model: Its entry in the manifest.
        graph: The ONNX graph, or the .xml file of OpenVINO IR.
        weights: The .bin file of OpenVINO IR; empty for ONNX, whose graph holds the weights.
        input: Size of the images that it takes.
        labels: Names of its outputs, in their order: classes, or views.
    """

    role: Role
    model: Model
    graph: bytes
    weights: bytes
    input: InputSpec
    labels: tuple[str, ...]

    def label_file(self) -> bytes:
        """Returns the content of the label file: one label a line."""
        return "".join(f"{label}\n" for label in self.labels).encode()


def models_to_serve(
    bundle: Bundle, engines: Sequence[EngineName], engine: str | None, precision: str | None, layout: str
) -> tuple[ServedModel, ...]:
    """Returns the classifier, then loss predictor and large classifier if the bundle has them, all for one engine.

    Args:
        bundle: An open bundle.
        engines: Engines whose models the server can run, the preferred one first.
        engine: One of `engines`; None for the first one for which the bundle has a model.
        precision: Precision of the classifier; None for the bundle's preferred one. The others always get the bundle's
            preferred one.
        layout: Name of the server, for error messages.

    Raises:
        EngineError: The bundle has no such classifier, or not all other models for the same engine.
        BundleError: A label contains a line break.
    """
    has = {"classifier": True, "predictor": bundle.manifest.predictor is not None, "large": bundle.has_large}
    roles = [role for role in get_args(Role) if has[role]]
    served: list[ServedModel] = []
    possible = [name for name in engines if engine in (None, name)]
    for role in roles:
        best = _best(bundle, role, possible, precision if role == "classifier" else None)
        if best is None:
            raise EngineError(_missing(bundle, role, engines, layout, possible[0] if served else engine, precision))
        possible = [best.engine]
        served.append(_served(bundle, best))
    return tuple(served)


def _missing(
    bundle: Bundle, role: Role, engines: Sequence[EngineName], layout: str, engine: str | None, precision: str | None
) -> str:
    """Returns the error message: what is missing, and which model to choose or export instead."""
    names = {model: f"{model.engine} {model.precision}" for model in bundle.manifest.models if model.role == role}
    servable = [name for model, name in names.items() if model.engine in engines]
    requested = " ".join(filter(None, (engine, precision)))
    alternative = f"choose one of {', '.join(servable)}"
    cure = (
        alternative if servable and role == "classifier" else f"export the checkpoint again with --engine {engines[0]}"
    )
    available = ", ".join(names.values()) or "none"
    return (
        f"{layout} serves models for {' or '.join(engines)}; {bundle.path} has no such {role}"
        f"{f' for {requested}' if requested else ''} (it has {available}): {cure}"
    )


def _best(bundle: Bundle, role: Role, engines: Sequence[EngineName], precision: str | None) -> Model | None:
    """Returns the model of the most preferred engine; of several for one engine, the bundle's preferred one."""
    fitting = [
        model
        for model in bundle.manifest.models
        if model.role == role and model.engine in engines and precision in (None, model.precision)
    ]
    return min(fitting, key=lambda model: engines.index(model.engine), default=None)


def _served(bundle: Bundle, model: Model) -> ServedModel:
    labels = bundle.manifest.views if model.role == "predictor" else bundle.classes
    for label in labels:
        if label.splitlines() != [label]:
            raise BundleError(
                f"{bundle.path}: a label file has one label a line; rename the class {printable(label)!r}"
            )
    return ServedModel(
        role=model.role,
        model=model,
        graph=bundle.read(model.file),
        weights=bundle.read(model.weights) if model.weights else b"",
        input=bundle.input_of(model.role),
        labels=labels,
    )
