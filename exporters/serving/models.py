"""What a model server is given of a bundle: one network for each role, with its names and labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from allweather.runtimes.bundle.bundle import Bundle
from allweather.runtimes.bundle.manifest import EngineName, Model, Role
from allweather.runtimes.errors import BundleError, EngineError, printable
from allweather.runtimes.preprocess import InputSpec

INPUT, OUTPUT = "images", "logits"  # of every graph, as to_onnx names them; that file cannot be read without torch
SEEN, LOSSES = "seen", "losses"  # the predictor's, where both networks answer one request
BOTH = "classifier_and_predictor"
LABELS = "labels.txt"


@dataclass(frozen=True)
class ServedModel:
    """One network as a server takes it.

    Attributes:
        role: what it is for; its name on the server, too.
        model: what the manifest says of it.
        graph: ONNX, or OpenVINO IR's xml.
        weights: OpenVINO IR's bin; empty where `graph` holds them.
        input: size of the pictures it takes.
        labels: what its answers stand for, in their order: classes, or views.
    """

    role: Role
    model: Model
    graph: bytes
    weights: bytes
    input: InputSpec
    labels: tuple[str, ...]

    def label_file(self) -> bytes:
        """The labels, one a line."""
        return "".join(f"{label}\n" for label in self.labels).encode()


def networks(
    bundle: Bundle, engines: Sequence[EngineName], engine: str | None, precision: str | None, layout: str
) -> tuple[ServedModel, ...]:
    """The classifier, then the predictor where there is one, for one engine.

    Args:
        bundle: opened.
        engines: whose models the server can run, the best first.
        engine: one of them; None for the first that the bundle has.
        precision: of the classifier; None for the one that the bundle prefers, as always for the predictor.
        layout: the server's name, for messages.

    Raises:
        EngineError: the bundle has no such classifier, or no predictor for the same engine.
        BundleError: a label has a line break, or the predictor ranks other views.
    """
    roles: list[Role] = ["classifier"] if bundle.manifest.predictor is None else ["classifier", "predictor"]
    found: list[ServedModel] = []
    asked = [name for name in engines if engine in (None, name)]
    for role in roles:
        best = _best(bundle, role, asked, precision if role == "classifier" else None)
        if best is None:
            raise EngineError(_missing(bundle, role, engines, layout, asked[0] if found else engine, precision))
        asked = [best.engine]
        found.append(_served(bundle, best))
    return tuple(found)


def _missing(
    bundle: Bundle, role: Role, engines: Sequence[EngineName], layout: str, engine: str | None, precision: str | None
) -> str:
    """What is wrong, and what to do: choose another model of the bundle, or make one."""
    names = {model: f"{model.engine} {model.precision}" for model in bundle.manifest.models if model.role == role}
    served = [name for model, name in names.items() if model.engine in engines]
    asked = " ".join(filter(None, (engine, precision)))
    choice = f"choose one of {', '.join(served)}"
    cure = choice if served and role == "classifier" else f"export the checkpoint again with --engine {engines[0]}"
    have = ", ".join(names.values()) or "none"
    return (
        f"{layout} serves models for {' or '.join(engines)}; {bundle.path} has no such {role}"
        f"{f' for {asked}' if asked else ''} (it has {have}): {cure}"
    )


def _best(bundle: Bundle, role: Role, engines: Sequence[EngineName], precision: str | None) -> Model | None:
    fitting = [
        model
        for model in bundle.manifest.models
        if model.role == role and model.engine in engines and precision in (None, model.precision)
    ]
    return min(fitting, key=lambda model: engines.index(model.engine), default=None)


def _served(bundle: Bundle, model: Model) -> ServedModel:
    labels = bundle.classes if model.role == "classifier" else bundle.manifest.views
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
