"""What a bundle says of itself: `manifest.json`, schema version 2. Unknown keys are refused."""

from __future__ import annotations

import json
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from allweather.runtimes.bundle.validation import first_fault
from allweather.runtimes.choices import EngineName as EngineName
from allweather.runtimes.choices import Precision as Precision
from allweather.runtimes.choices import Role as Role
from allweather.runtimes.errors import BundleError, UsageError, first_line
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.tta.policy import Policy

SCHEMA = 2
MANIFEST = "manifest.json"
MAXIMUM_MANIFEST = 16 << 20  # bytes; a thousand classes with all reports take 0.2 MB
MAXIMUM_COMMAS = 150_000  # bounds the parts; pydantic takes a kilobyte and 15 us to refuse each
MAXIMUM_FILE = 4 << 30  # bytes; VGG-16 in fp32 takes 0.55 GB

# a plain name, in at most one folder: no "..", no absolute path, no backslash, no hidden file
FileName = Annotated[str, Field(pattern=r"^([A-Za-z0-9][A-Za-z0-9_.-]{0,99}/)?[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Share = Annotated[float, Field(ge=0, le=1)]
Finite = Annotated[float, Field(ge=0)]
Side = Annotated[int, Field(ge=1, le=4096)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class StoredFile(_Strict):
    """A file of the bundle: its size in bytes and its SHA-256."""

    size: Annotated[int, Field(ge=0, le=MAXIMUM_FILE)]
    sha256: Sha256


class Input(_Strict):
    """What the networks take; see `InputSpec`."""

    height: Side
    width: Side
    mean: tuple[float, float, float]
    std: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]]

    @staticmethod
    def of(spec: InputSpec) -> Input:
        """To be written."""
        return Input(height=spec.height, width=spec.width, mean=spec.mean, std=spec.std)

    def spec(self) -> InputSpec:
        """As it is used."""
        return InputSpec(self.height, self.width, self.mean, self.std)


class Parity(_Strict):
    """How one model answers beside the torch network it was made from.

    Attributes:
        images: test pictures compared.
        largest_logit_difference: over all of them and all classes.
        mean_logit_difference: mean absolute difference.
        agreement: share of pictures that get the same top class, or the same view of the lowest loss.
        accuracy: share of pictures that get the right class from this model; None for a predictor.
        reference_accuracy: the same from torch.
        corrupted_accuracy: the same share with every picture corrupted; None where it was not measured.
        reference_corrupted_accuracy: the same from torch.
    """

    images: Annotated[int, Field(ge=1)]
    largest_logit_difference: Finite
    mean_logit_difference: Finite
    agreement: Share
    accuracy: Share | None
    reference_accuracy: Share | None
    corrupted_accuracy: Share | None = None
    reference_corrupted_accuracy: Share | None = None


class Model(_Strict):
    """One compiled network.

    Attributes:
        role: what it is for: the classifier answers with logits, the predictor with a loss for each view.
        engine: which engine runs it.
        precision: of its arithmetic.
        file: ONNX graph or OpenVINO IR (.xml).
        weights: OpenVINO's .bin; None where the graph holds them.
        golden: float32 [n, C or V] .npy: its answers to the golden frames on the machine of the export.
        tolerance: largest difference from `golden` that a device may show.
        seconds: cost curve on the machine of the export: median seconds of a call with 1, 2, ... pictures; empty where
            that machine could not run this engine.
        parity: measured when it was exported.
        forced: what the gate held against it, where it was written all the same (`export --force`).
    """

    role: Role
    engine: EngineName
    precision: Precision
    file: FileName
    weights: FileName | None = None
    golden: FileName
    tolerance: Finite
    seconds: Annotated[tuple[Finite, ...], Field(max_length=64)]
    parity: Parity
    forced: Annotated[str, Field(max_length=1000)] = ""


class Calibration(_Strict):
    """Where the ranges of the INT8 models come from: `images` pictures of `data`'s `split`, drawn with `seed`.

    Attributes:
        corrupted: how many of them were corrupted first.
    """

    data: str
    split: str
    images: Annotated[int, Field(ge=1)]
    seed: int
    corrupted: Annotated[int, Field(ge=0)] = 0


class Rejected(_Strict):
    """A model that was compiled and measured, and is not in the bundle.

    Attributes:
        role, engine, precision, seconds, parity: as of a `Model`.
        reason: what the gate held against it, or which model answers sooner.
    """

    role: Role
    engine: EngineName
    precision: Precision
    seconds: Annotated[tuple[Finite, ...], Field(max_length=64)]
    parity: Parity
    reason: Annotated[str, Field(max_length=1000)]


class Manifest(_Strict):
    """All that a bundle says; every file it needs is listed with size and hash.

    Attributes:
        views: what the predictor's answers stand for, in their order; the identity alone where there is none.
        predictor: what the predictor takes; None where there is none.
        policies: that were tuned; the first is what a perceiver does unless it is told otherwise.
        models: of each engine and role, the one to prefer first.
        rejected: what the export measured and did not keep.
    """

    format: Literal["allweather-bundle"] = "allweather-bundle"
    schema_version: Literal[2] = 2
    arch: str
    classes: Annotated[tuple[str, ...], Field(min_length=2, max_length=100_000)]
    input: Input
    views: Annotated[tuple[str, ...], Field(min_length=1, max_length=64)]
    predictor: Input | None = None
    policies: Annotated[tuple[Policy, ...], Field(max_length=64)] = ()
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
        text: JSON.
        where: the bundle's name, for messages.

    Raises:
        BundleError: it is no JSON, of another schema version, or says what cannot be; the first fault is named.
    """
    if text.count(b",") > MAXIMUM_COMMAS:
        raise BundleError(f"{where}: {MANIFEST} has more parts than any bundle; export it again")
    try:
        raw = json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{where}: {MANIFEST} is no readable JSON ({first_line(error)}); export it again") from error
    if not isinstance(raw, dict) or raw.get("format") != "allweather-bundle":
        raise BundleError(
            f"{where}: {MANIFEST} is not of an allweather bundle; name a folder made by 'allweather export'"
        )
    version = raw.get("schema_version")
    if isinstance(version, int) and version != SCHEMA and version > 0:
        age, cure = ("a newer", "update allweather, or export") if version > SCHEMA else ("an older", "export it")
        raise BundleError(
            f"{where}: made by {age} allweather (bundle schema {str(version)[:20]}; this one reads {SCHEMA}); "
            f"{cure} again with this one"
        )
    try:
        manifest = Manifest.model_validate_json(text, strict=True)
    except (ValidationError, RecursionError, UsageError) as error:
        raise BundleError(f"{where}: {MANIFEST} is damaged: {first_fault(error)}; export it again") from error
    _check_references(manifest, where)
    return manifest


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """A JSON object; one with a key twice means different things to different readers."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is there twice")
    return found


def _check_references(manifest: Manifest, where: str) -> None:
    """Every file that is spoken of must be listed; the manifest cannot list itself; a predictor says what it takes."""
    spoken = [manifest.golden_frames]
    for model in manifest.models:
        spoken += [name for name in (model.file, model.weights, model.golden) if name is not None]
    if manifest.predictor is None and any(model.role == "predictor" for model in manifest.models):
        raise BundleError(f"{where}: {MANIFEST} does not say what its predictor takes; export it again")
    if MANIFEST in manifest.files:
        raise BundleError(f"{where}: {MANIFEST} lists itself as a file; export it again")
    missing = sorted(set(spoken) - set(manifest.files))
    if missing:
        raise BundleError(f"{where}: {MANIFEST} speaks of {missing[0]} but does not list it; export it again")
