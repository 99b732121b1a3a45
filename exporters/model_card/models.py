"""Sections of a model card that a bundle's manifest tells: the model, its compiled forms, and what was not measured."""

from __future__ import annotations

from allweather.exporters.parity import images_note
from allweather.runtimes.bundle.manifest import Manifest, Model, Rejected
from allweather.runtimes.markdown import markdown, markdown_table
from allweather.runtimes.text import shortened
from allweather.runtimes.tta.policy import Policy

MAX_CLASSES = 100  # names that are listed; the manifest has all
MAX_REASON = 300
MAX_TEMPERATURES = 12
NONE = "n/a"  # in a table, for what was not measured


def model(manifest: Manifest) -> list[str]:
    """Returns what the model is: architecture, classes and input."""
    classes, spec = manifest.classes, manifest.input
    names = markdown(", ".join(classes[:MAX_CLASSES]))
    if len(classes) > MAX_CLASSES:
        names += f", and {len(classes) - MAX_CLASSES} more, which manifest.json lists"
    mean, std = (", ".join(f"{value:.4g}" for value in values) for values in (spec.mean, spec.std))
    return [
        "An image classifier for allweather, which runs it on a device within a latency budget.",
        "",
        f"- Architecture: {markdown(manifest.arch)}",
        f"- Classes ({len(classes)}): {names}",
        f"- Input: RGB images of {spec.width} x {spec.height} px, uint8 [n, height, width, 3]; allweather crops and "
        "resizes every image to that size",
        f"- Normalization, inside the models: mean {mean}; standard deviation {std}; on a scale from 0 to 1",
        "- Output: one logit for each class",
    ]


def loading() -> list[str]:
    """Returns how the bundle is loaded in Python."""
    return [
        "```python",
        "import allweather",
        'decision = allweather.load("path/of/this/bundle")(image)  # image: uint8 [height, width, 3], RGB',
        "```",
        "",
        "`decision.label` is the name of the class. `allweather run BUNDLE --source 0` runs it on a camera.",
    ]


def policies(manifest: Manifest) -> list[str]:
    """Returns the tuned policies, the one that is followed first."""
    rows = [
        (each.name, _choice(each), each.averages, str(each.planned_views), _early_exit(each))
        for each in manifest.policies
    ]
    table = markdown_table(
        [("policy", "views", "what is averaged", "images for the classifiers, at most", "early exit"), *rows]
    )
    return [
        *table,
        "",
        *_confidence(manifest.policies[0]),
        "The first is followed unless another is named. What a policy gains is not stored with it: "
        "`allweather evaluate BUNDLE --data DATA --policy NAME --corrupted generate` measures it.",
    ]


def compiled_models(manifest: Manifest) -> list[str]:
    """Returns the compiled models, how they compare with the original, and how INT8 was calibrated."""
    head = (
        "model", "engine", "precision", "agreement, %", "accuracy, %", "of the original", "corrupted, %",
        "of the original", "largest difference",
    )  # fmt: skip
    lines = markdown_table([head, *map(_row, manifest.models)])
    images = max(each.parity.images for each in manifest.models)
    original = "the file that it was imported from" if _is_foreign(manifest) else "torch"
    lines += [
        "",
        f"Each was compared with the original ({original}) on {images} validation images: how often both choose the "
        "same class (a loss predictor: the same view), the accuracy of both on clean and on corrupted images, and the "
        "largest difference of an output.",
        "",
    ]
    for each in manifest.models:
        if each.forced:
            lines.append(f"- Kept although it fails the comparison: {_name(each)}: {_reason(each.forced)}")
    lines += [f"- Not kept: {_name(each)}: {_reason(each.reason)}" for each in manifest.rejected]
    calibration = manifest.calibration
    if calibration is not None:
        lines.append(
            f"- INT8 was calibrated on {calibration.images} images of {markdown(calibration.data)} "
            f"({markdown(calibration.split)}), {calibration.corrupted} of them corrupted; seed {calibration.seed}"
        )
    return lines


def origin(manifest: Manifest) -> list[str]:
    """Returns the machine and the libraries of the export."""
    versions = ", ".join(f"{name} {version}" for name, version in sorted(manifest.versions.items()))
    return [f"- Machine of the export: {markdown(manifest.machine)}", f"- Libraries: {markdown(versions)}"]


def limits(manifest: Manifest) -> list[str]:
    """Returns what this card does not know, and what the model was not tried on."""
    classifiers = [each for each in manifest.models if each.role == "classifier"]
    few = images_note(max(each.parity.images for each in classifiers)) if classifiers else ""
    lines = [
        "Accuracy on test images: all figures here are of validation images, which also chose what to keep. "
        "`allweather evaluate BUNDLE --data DATA` measures it.",
        "Bad weather as cameras see it: the corrupted images are generated, at one severity of five. "
        "`allweather evaluate BUNDLE --data DATA --corrupted generate` measures all of them.",
        "Images from outside of the data: other cameras, places, seasons, or classes. An image of none of the classes "
        "gets the name of one of them all the same.",
        "Fairness: whether it is equally accurate for groups of people, places or things was not evaluated.",
        *_unknown_confidence(manifest),
        "Attacks: images that are made to mislead it were not tried.",
        "Latency on your device: manifest.json has that on the machine of the export, where it can run the engine; "
        "`allweather bench BUNDLE` measures it.",
        *([f"Small differences: {markdown(few)}."] if few else []),
        f"Privacy: the bundle holds {manifest.golden_count} images of the data (golden frames); whoever has it can see "
        "them.",
    ]
    return [f"- {line}" for line in lines]


def _row(compiled: Model) -> tuple[str, ...]:
    parity = compiled.parity
    return (
        compiled.role,
        compiled.engine,
        compiled.precision,
        f"{100 * parity.agreement:.2f}",
        _percent(parity.accuracy),
        _percent(parity.reference_accuracy),
        _percent(parity.corrupted_accuracy),
        _percent(parity.reference_corrupted_accuracy),
        f"{parity.largest_logit_difference:.3g}",
    )


def _percent(share: float | None) -> str:
    return NONE if share is None else f"{100 * share:.2f}"


def _name(compiled: Model | Rejected) -> str:
    return f"{compiled.role}, {compiled.engine} {compiled.precision}"


def _reason(text: str) -> str:
    return markdown(shortened(text, MAX_REASON))


def _choice(policy: Policy) -> str:
    views = ", ".join(policy.views)
    chosen = {
        "all": "all of",
        "draw": f"{policy.num_views} drawn with repetition from",
        "random": f"{policy.num_views} drawn from",
        "top": f"the {policy.num_views} with the lowest predicted losses of",
        "oracle": f"the {policy.num_views} with the lowest true losses of",
    }[policy.pick]
    also = ", each also flipped" if policy.hflip else ""
    return f"{chosen} {views}{also}" + ("; the first one also on the large classifier" if policy.large else "")


def _confidence(policy: Policy) -> list[str]:
    """Returns what the first policy says about its confidence; nothing if that was not tuned."""
    model = policy.confidence_model
    if model is None:
        return []
    temperatures = ", ".join(f"{each:.2f}" for each in model.temperatures[:MAX_TEMPERATURES])
    lines = [f"Its confidence is calibrated; temperatures after 1, 2, ... views: {temperatures}."]
    found = model.acceptance
    if found is not None:
        lines.append(
            f"Decisions are accepted from a confidence of {found.threshold:.4f}: {100 * found.coverage:.1f} % of "
            f"{found.images} validation images, nine of ten of them corrupted, {found.errors} errors among "
            f"{found.accepted} accepted; at most {100 * found.risk:g} % are errors, at a confidence level of "
            f"{100 * found.level:g} %."
        )
    return [" ".join(lines), ""]


def _unknown_confidence(manifest: Manifest) -> list[str]:
    if manifest.policies and manifest.policies[0].confidence_model:
        return ["Confidence under other policies than the first, and on images unlike the validation images."]
    return ["Confidence: whether the probabilities are as high as the accuracy was not evaluated."]


def _early_exit(policy: Policy) -> str:
    return f"above {policy.early_exit_threshold:g}" if policy.exits_early else "none"


def _is_foreign(manifest: Manifest) -> bool:
    return manifest.arch.startswith(("onnx:", "openvino:"))
