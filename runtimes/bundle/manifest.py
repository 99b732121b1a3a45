"""The description of a bundle, `manifest.json`, schema version 2. Unknown keys are refused."""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationError

from allweather.runtimes.bundle.stored_input import Input as Input
from allweather.runtimes.bundle.stored_policy import StoredPolicy
from allweather.runtimes.bundle.strict import Strict
from allweather.runtimes.bundle.validation import first_validation_error
from allweather.runtimes.choices import EngineName as EngineName
from allweather.runtimes.choices import Precision as Precision
from allweather.runtimes.choices import Role as Role
from allweather.runtimes.errors import BundleError, UsageError, first_line
from allweather.runtimes.text import MAX_CLASSES, MAX_LABEL_CHARACTERS, forbidden_character, printable
from allweather.runtimes.tta.predictor_views import check_ranked_views

SCHEMA = 2
MANIFEST = "manifest.json"
MAX_MANIFEST_BYTES = 16 << 20  # a thousand classes with all parity results take 0.2 MB
MAX_COMMAS = 150_000  # bounds the number of values; pydantic takes a kilobyte and 15 us to reject each
MAX_FILE_BYTES = 4 << 30  # VGG-16 in fp32 takes 0.55 GB

# a plain name, in at most one folder: no "..", no absolute path, no backslash, no hidden file
FileName = Annotated[str, Field(pattern=r"^([A-Za-z0-9][A-Za-z0-9_.-]{0,99}/)?[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Share = Annotated[float, Field(ge=0, le=1)]
NonNegative = Annotated[float, Field(ge=0)]


def _check_label(label: str) -> str:
    character = forbidden_character(label)
    if character:
        raise ValueError(f"a class name holds the character {character}, which no terminal or log should get")
    if not label.strip():
        raise ValueError("a class name is empty or blank, so that a decision would name nothing")
    return label


Label = Annotated[str, Field(max_length=MAX_LABEL_CHARACTERS), AfterValidator(_check_label)]


class StoredFile(Strict):
    """A file of the bundle.

    Attributes:
        size: Size in bytes.
        sha256: SHA-256 of its content, in hexadecimal digits.
    """

    size: Annotated[int, Field(ge=0, le=MAX_FILE_BYTES)]
    sha256: Sha256


class Parity(Strict):
    """Comparison of a compiled model with the torch model that it was made from.

    Attributes:
        images: Number of test images that were compared.
        largest_logit_difference: Largest absolute difference over all images and classes.
        mean_logit_difference: Mean absolute difference.
        agreement: Share of the images with the same top class; for a predictor, with the same view of the lowest loss.
        accuracy: Share of the images that this model classifies correctly; None for a predictor.
        reference_accuracy: Share of the images that the torch model classifies correctly; None for a predictor.
        corrupted_accuracy: As `accuracy`, with every image corrupted; None if it was not evaluated.
        reference_corrupted_accuracy: As `reference_accuracy`, with every image corrupted; None if not evaluated.
    """

    images: Annotated[int, Field(ge=1)]
    largest_logit_difference: NonNegative
    mean_logit_difference: NonNegative
    agreement: Share
    accuracy: Share | None
    reference_accuracy: Share | None
    corrupted_accuracy: Share | None = None
    reference_corrupted_accuracy: Share | None = None


class Model(Strict):
    """A compiled model.

    Attributes:
        role: What it is for: the classifier gives the logits, the predictor a loss for each view; the large classifier
            gives logits of the same classes for the same input, see `Policy.large`.
        engine: Name of the engine that runs it.
        precision: Precision of its arithmetic.
        file: Name of the ONNX graph, or of the .xml file of OpenVINO IR.
        weights: Name of the .bin file of OpenVINO IR; None if `file` holds the weights.
        golden: Name of an .npy file, float32 [n, C or V]: its outputs on the golden frames when it was exported.
        tolerance: Largest absolute difference from `golden` that a device may show.
        seconds: Least seconds of several calls with 1, 2, ... images on the machine of the export; empty if that
            machine could not run this engine.
        parity: Comparison with torch at the export.
        forced: Why the parity gate refused the model, if it was written nevertheless (`export --force`); else "".
    """

    role: Role
    engine: EngineName
    precision: Precision
    file: FileName
    weights: FileName | None = None
    golden: FileName
    tolerance: NonNegative
    seconds: Annotated[tuple[NonNegative, ...], Field(max_length=64)]
    parity: Parity
    forced: Annotated[str, Field(max_length=1000)] = ""


class Calibration(Strict):
    """The images on which the value ranges of the INT8 models were measured.

    Attributes:
        data: Name of the data set.
        split: Name of its split.
        images: Number of images.
        seed: Random seed with which they were drawn.
        corrupted: Number of them that were corrupted first.
    """

    data: str
    split: str
    images: Annotated[int, Field(ge=1)]
    seed: int
    corrupted: Annotated[int, Field(ge=0)] = 0


class Rejected(Strict):
    """A model that the export compiled and evaluated, and did not write to the bundle.

    Attributes:
        role: See `Model`.
        engine: See `Model`.
        precision: See `Model`.
        seconds: See `Model`.
        parity: See `Model`.
        reason: Why the parity gate refused it, or which model is faster.
    """

    role: Role
    engine: EngineName
    precision: Precision
    seconds: Annotated[tuple[NonNegative, ...], Field(max_length=64)]
    parity: Parity
    reason: Annotated[str, Field(max_length=1000)]


class Manifest(Strict):
    """The description of a bundle. It lists every other file of the bundle with size and hash.

    Attributes:
        format: Identifies the file format.
        schema_version: Version of this schema.
        arch: Name of the classifier's architecture.
        classes: Class names, in the order of the logits.
        input: The classifier's input.
        views: Names of the views whose losses the predictor predicts, in the order of its outputs; the identity alone
            if there is no predictor.
        predictor: The predictor's input; None if there is no predictor.
        policies: The tuned policies; a perceiver follows the first of them unless it is given another.
        models: The compiled models; of each engine and role the one to prefer comes first.
        rejected: The models that the export evaluated and did not keep.
        golden_frames: Name of an .npy file, uint8 [n, height, width, 3]: prepared images.
        golden_count: Number of golden frames, n.
        calibration: The images on which the value ranges for INT8 were measured; None if no INT8 model was compiled.
        machine: The machine of the export, in words.
        versions: Versions of Python and of the libraries of the export, by name.
        files: Size and hash of every file of the bundle, by name.
    """

    format: Literal["allweather-bundle"] = "allweather-bundle"
    schema_version: Literal[2] = 2
    arch: str
    classes: Annotated[tuple[Label, ...], Field(min_length=2, max_length=MAX_CLASSES)]
    input: Input
    views: Annotated[tuple[str, ...], Field(min_length=1, max_length=64)]
    predictor: Input | None = None
    policies: Annotated[tuple[StoredPolicy, ...], Field(max_length=64)] = ()
    models: Annotated[tuple[Model, ...], Field(min_length=1, max_length=64)]
    rejected: Annotated[tuple[Rejected, ...], Field(max_length=64)] = ()
    golden_frames: FileName
    golden_count: Annotated[int, Field(ge=1, le=1024)]
    calibration: Calibration | None
    machine: str
    versions: dict[str, str]
    files: Annotated[dict[FileName, StoredFile], Field(max_length=1000)]


def parse_manifest(text: bytes, where: str) -> Manifest:
    """Reads a manifest.

    Args:
        text: The JSON text.
        where: Name of the bundle, for messages.

    Raises:
        BundleError: It is not JSON, is of another schema version, or contradicts itself; the first error is named.
    """
    if text.count(b",") > MAX_COMMAS and _count_commas(text) > MAX_COMMAS:
        raise BundleError(f"{where}: {MANIFEST} has more values than any bundle; export it again")
    try:
        raw = json.loads(text, object_pairs_hook=_unique_keys)
    except (ValueError, RecursionError) as error:
        raise BundleError(
            f"{where}: {MANIFEST} is not readable JSON ({first_line(error)}); copy or export it again"
        ) from error
    if not isinstance(raw, dict) or raw.get("format") != "allweather-bundle":
        raise BundleError(
            f"{where}: {MANIFEST} is not the manifest of a bundle; name a folder made by 'allweather export'"
        )
    version = raw.get("schema_version")
    if isinstance(version, int) and version != SCHEMA and version > 0:
        age, advice = ("a newer", "update allweather, or export") if version > SCHEMA else ("an older", "export it")
        raise BundleError(
            f"{where}: made by {age} allweather (bundle schema {str(version)[:20]}; this one reads {SCHEMA}); "
            f"{advice} again with this one"
        )
    try:
        manifest = Manifest.model_validate_json(text, strict=True)
    except UsageError as error:  # raised by `Policy`, perhaps as a newer version of allweather wrote it
        raise BundleError(
            f"{where}: {MANIFEST} has a policy that this version of allweather cannot run: {first_line(error)}; "
            "register your own view first, update allweather, or export it again"
        ) from error
    except (ValidationError, RecursionError) as error:
        raise BundleError(
            f"{where}: {MANIFEST} is damaged: {first_validation_error(error)}; export it again"
        ) from error
    _check_classes(manifest, where)
    if not any(model.role == "classifier" for model in manifest.models):
        raise BundleError(f"{where}: {MANIFEST} lists no model of a classifier; export it again")
    if any(each.large for each in manifest.policies) and not any(model.role == "large" for model in manifest.models):
        raise BundleError(
            f"{where}: {MANIFEST} has a policy of a large classifier, and none in its models; export it again"
        )
    _check_files(manifest, where)
    _check_predictor(manifest, where)
    return manifest


def _count_commas(text: bytes) -> int:
    """Counts the commas of a JSON text outside of its strings, such as the names of classes."""
    return sum(part.count(b",") for part in text.replace(rb"\\", b"").replace(rb"\"", b"").split(b'"')[::2])


def _unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Returns a JSON object. One that has a key twice is an error, as readers differ in which of the two they take."""
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key occurs twice")
    return result


def _check_classes(manifest: Manifest, where: str) -> None:
    """Checks that no two classes look the same in a log, as a decision holds only the name of its class."""
    name, count = Counter(unicodedata.normalize("NFC", each) for each in manifest.classes).most_common(1)[0]
    if count > 1:
        raise BundleError(
            f"{where}: {MANIFEST} has {count} classes named {printable(name)!r}; export it again with a name for each"
        )


def _check_files(manifest: Manifest, where: str) -> None:
    """Checks that every file that the manifest refers to is listed, and that it does not list itself."""
    referred = [manifest.golden_frames]
    for model in manifest.models:
        referred += [name for name in (model.file, model.weights, model.golden) if name is not None]
    if MANIFEST in manifest.files:
        raise BundleError(f"{where}: {MANIFEST} lists itself as a file; export it again")
    missing = sorted(set(referred) - set(manifest.files))
    if missing:
        raise BundleError(f"{where}: {MANIFEST} refers to {missing[0]} but does not list it; export it again")


def _check_predictor(manifest: Manifest, where: str) -> None:
    """Checks that a predictor has an input and distinct views, and that policies that rank views rank these."""
    if len(set(manifest.views)) < len(manifest.views):
        raise BundleError(f"{where}: {MANIFEST} names a view twice; export it again")
    if manifest.predictor is None:
        if any(model.role == "predictor" for model in manifest.models):
            raise BundleError(f"{where}: {MANIFEST} does not state the input of its predictor; export it again")
        return
    try:
        check_ranked_views(manifest.policies, manifest.views)
    except UsageError as error:
        raise BundleError(f"{where}: {MANIFEST} contradicts itself: {first_line(error)}; export it again") from error
