"""Puts the model card of a bundle together: Markdown with front matter as the Hugging Face Hub reads it.

Equal models give equal bytes: latencies, which differ from one export to the next, are left to the manifest. The card
is a file of the bundle, so that it cannot be changed unnoticed: who publishes the model copies it, and adds the license
to the copy.
"""

from __future__ import annotations

from collections.abc import Mapping

from allweather.exporters.model_card.models import compiled_models, limits, loading, model, origin, policies
from allweather.exporters.model_card.training import loss_predictor, training, training_data, validation
from allweather.runtimes.bundle.manifest import Manifest
from allweather.runtimes.markdown import markdown
from allweather.trainers.checkpoint.checkpoint import Checkpoint
from allweather.trainers.checkpoint.predictor_file import TrainedPredictor
from allweather.trainers.data.dataset import Dataset

MODEL_CARD = "model-card.md"  # name of the file in the bundle
TRAINING_DATA, TRAINING, VALIDATION = "Training data", "Training", "Accuracy on validation images"
LOSS_PREDICTOR = "Loss predictor"
OF_TRAINING = (TRAINING_DATA, TRAINING, VALIDATION)  # sections that a bundle's manifest does not hold
NO_LICENSE = (
    "None is stated: the license of the model is up to its owner, and depends on that of the training data and of the "
    "weights that the training began with. Add it to a copy of this card; the card in the bundle cannot be changed, "
    "because the manifest holds its SHA-256."
)
Sections = Mapping[str, list[str]]  # lines of Markdown by their heading


def checkpoint_card(manifest: Manifest, checkpoint: Checkpoint) -> bytes:
    """Returns the model card of a bundle that was made from a checkpoint.

    Args:
        manifest: The manifest of the bundle.
        checkpoint: The checkpoint, with its loss predictor if it has one.
    """
    sections = {
        TRAINING_DATA: training_data(checkpoint),
        TRAINING: training(checkpoint),
        VALIDATION: validation(checkpoint),
    }
    if checkpoint.predictor is not None:
        sections[LOSS_PREDICTOR] = loss_predictor(checkpoint.predictor)
    return _card(manifest, sections)


def foreign_card(manifest: Manifest, dataset: Dataset) -> bytes:
    """Returns the model card of a bundle that was made from another program's model.

    Args:
        manifest: The manifest of the bundle.
        dataset: The data that calibrated INT8 and that the models were compared on.
    """
    known = (
        "Not known, as the file of the model does not hold it. The images that calibrated INT8 and on which the "
        f"compiled models were compared with the original are of the data set {markdown(dataset.name)}."
    )
    unknown = ["Not known, as the file of the model does not hold it."]
    return _card(manifest, {TRAINING_DATA: [known], TRAINING: unknown})


def extended_card(manifest: Manifest, before: bytes | None, predictor: TrainedPredictor | None) -> bytes:
    """Returns the model card of a bundle to which a loss predictor or policies were added.

    Args:
        manifest: The manifest of the new bundle.
        before: The card of the bundle that it was made from; None if it had none.
        predictor: The loss predictor that was added; None if there was none.
    """
    kept = _sections(before.decode("utf-8", "replace")) if before is not None else {}
    unknown = ["Not known, as the bundle that this one was made from had no model card."]
    sections = {name: kept[name] for name in OF_TRAINING if name in kept} or {TRAINING_DATA: unknown, TRAINING: unknown}
    if predictor is not None:
        sections[LOSS_PREDICTOR] = loss_predictor(predictor)
    elif manifest.predictor is not None:
        sections[LOSS_PREDICTOR] = kept.get(LOSS_PREDICTOR, unknown)
    return _card(manifest, sections)


def _card(manifest: Manifest, sections: Sections) -> bytes:
    """Returns a card of the sections that are given, and of those that the manifest tells."""
    everything: Sections = {
        "Model": model(manifest),
        "How to load it": loading(),
        **sections,
        **({"Test-time augmentation": policies(manifest)} if manifest.policies else {}),
        "Compiled models": compiled_models(manifest),
        "Made with": origin(manifest),
        "What was not measured": limits(manifest),
        "License": [NO_LICENSE],
    }
    title = f"# Model card: {markdown(manifest.arch)}, {len(manifest.classes)} classes"
    lines = [*_front_matter(manifest), "", title, ""]
    for heading, content in everything.items():
        lines += [f"## {heading}", "", *content, ""]
    return "\n".join(lines).encode("utf-8", "replace")


def _front_matter(manifest: Manifest) -> list[str]:
    """Returns the metadata that the Hugging Face Hub shows; it holds no text of a user."""
    engines = dict.fromkeys(each.engine for each in manifest.models)
    tags = ["image-classification", "robustness", *(["test-time-augmentation"] if manifest.policies else []), *engines]
    return [
        "---",
        "# license: add one to a copy of this file, such as apache-2.0",
        "library_name: allweather",
        "pipeline_tag: image-classification",
        "tags:",
        *(f"- {tag}" for tag in tags),
        "metrics:",
        "- accuracy",
        "---",
    ]


def _sections(text: str) -> Sections:
    """Returns the sections of a card; no line of a user's text begins as a heading does."""
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in text.splitlines():
        if line.startswith("## "):
            lines = found.setdefault(line.removeprefix("## "), [])
        else:
            lines.append(line)
    return {heading: "\n".join(content).strip("\n").split("\n") for heading, content in found.items()}
