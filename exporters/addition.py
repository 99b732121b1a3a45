"""Adds a loss predictor and policies to a bundle; its classifier, whatever it was made from, stays as it is."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from allweather.exporters.calibration import MIN_CALIBRATION_IMAGES, calibration_set
from allweather.exporters.checkpoint_jobs import TorchSource
from allweather.exporters.compilation import EXPORT_LIBRARIES, Compilation, ExportOptions, compile_jobs, precision_plan
from allweather.exporters.job import parity_images, predictor_job
from allweather.exporters.model_card import MODEL_CARD, extended_card
from allweather.runtimes.bundle.bundle import Bundle, write_bundle
from allweather.runtimes.bundle.manifest import Input, Manifest, Model
from allweather.runtimes.bundle.output_path import check_bundle_path
from allweather.runtimes.errors import UsageError
from allweather.runtimes.system.device import this_device
from allweather.runtimes.system.path_argument import as_path
from allweather.runtimes.tta.policy import Policy
from allweather.trainers.checkpoint.checkpoint import library_versions
from allweather.trainers.checkpoint.predictor_file import TrainedPredictor
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.data.image_size import warn_of_other_crop
from allweather.trainers.steps.arguments import check_argument

log = logging.getLogger(__name__)


def add_to_bundle(
    bundle: Bundle | Path | str,
    predictor: TrainedPredictor | None,
    policies: Sequence[Policy] | None,
    dataset: Dataset | None,
    out: Path | str,
    watch: Callable[[str], None] = lambda step: None,
) -> Manifest:
    """Writes a new bundle: the classifier of another one, with a loss predictor or with policies.

    The predictor is compiled for every engine that the bundle has a classifier for, in fp32 and in the fastest other
    precision that passes the same parity gate as in `export`. Its golden outputs are those for the golden
    frames that the bundle has. The classifier's files are copied, so it predicts exactly what it did.

    Args:
        bundle: The bundle to start from: opened, or its path.
        predictor: A loss predictor that was trained on this classifier's losses; it replaces one that the bundle has.
            None keeps what the bundle has.
        policies: The new bundle's policies, the one to follow first; they replace those of the bundle. None keeps
            these. Policies that rank views then rank those of the new predictor.
        dataset: Data of the same classes and image size: its train split calibrates INT8, its validation split is used
            by the parity gate. Not needed, and then None, without a predictor.
        out: Folder or .zip file to write; not the bundle to start from.
        watch: Called with the name of each step when it starts.

    Returns:
        The manifest of the new bundle.

    Raises:
        UsageError: `out` is the bundle to start from, there is a predictor and no data, the data set has other classes
            or another image size, or a policy cannot follow the predictor.
        BundleError: The bundle cannot be read.
        DataError: The data set has too few images to calibrate INT8.
        CheckpointError: The weights of the predictor do not fit.
        ParityError: The parity gate rejects the loss predictor.
        OutputError: The bundle cannot be written.
    """
    out = as_path(out)
    if predictor is not None:
        check_argument("predictor", predictor, TrainedPredictor)
    if policies is not None:
        policies = _checked(policies)
    opened = bundle if isinstance(bundle, Bundle) else Bundle.open(bundle)
    check_bundle_path(out, made_of=opened.path)
    followed = opened.manifest.policies if policies is None else policies
    if predictor is not None:
        followed = tuple(policy.with_predictor_views(predictor.views) for policy in followed)
    manifest = opened.manifest.model_copy(update={"policies": followed})
    contents = {name: opened.read(name) for name in manifest.files}
    before = contents.pop(MODEL_CARD, None)
    if predictor is not None:
        if dataset is None:
            raise UsageError("a loss predictor is checked on validation images before it is added; give a data set")
        compiled = _compile(opened, predictor, _adapted(opened, dataset), watch)
        manifest = _with_predictor(manifest, predictor, compiled)
        referred = {manifest.golden_frames} | {name for model in manifest.models for name in _files(model)}
        contents = {**{name: each for name, each in contents.items() if name in referred}, **compiled.files}
    contents[MODEL_CARD] = extended_card(manifest, before, predictor)
    write_bundle(out, manifest, contents)
    return manifest


def _checked(policies: Iterable[Policy]) -> tuple[Policy, ...]:
    """Returns policies as a tuple.

    Raises:
        UsageError: They are no policies.
    """
    if isinstance(policies, str | Policy | Mapping) or not isinstance(policies, Iterable):
        raise UsageError(f"policies are a list of Policy; got {type(policies).__name__}")
    listed = tuple(policies)
    for each in listed:
        check_argument("each of the policies", each, Policy)
    return listed


def _compile(
    bundle: Bundle, predictor: TrainedPredictor, dataset: Dataset, watch: Callable[[str], None]
) -> Compilation:
    """Compiles the predictor for the engines of the bundle's classifier."""
    engines = dict.fromkeys(model.engine for model in bundle.manifest.models if model.role == "classifier")
    few = len(dataset.train) < MIN_CALIBRATION_IMAGES  # which is no reason to lose a predictor that has been trained
    if few:
        log.warning(
            "%s has %d training images, and INT8 needs %d for calibration: the loss predictor is in FP32 alone",
            dataset.name, len(dataset.train), MIN_CALIBRATION_IMAGES,
        )  # fmt: skip
    options = ExportOptions(tuple(engines), precisions=("fp32",) if few else None)
    source = TorchSource(predictor.model(), predictor.input)
    calibration = None if few else calibration_set(dataset)
    job = predictor_job(source, predictor.input, parity_images(dataset.val), calibration)
    compiled = compile_jobs([job], precision_plan(options), options, bundle.golden_frames(), watch)
    compiled.check_kept(("predictor",), cure="train it for longer, or on more images")
    return compiled


def _with_predictor(manifest: Manifest, predictor: TrainedPredictor, compiled: Compilation) -> Manifest:
    """Returns the manifest with the compiled models of a predictor in place of those that it has."""
    machine = this_device().line()
    if machine != manifest.machine:
        machine = f"{manifest.machine}; loss predictor: {machine}"
    classifiers = tuple(model for model in manifest.models if model.role != "predictor")
    rejected = tuple(model for model in manifest.rejected if model.role != "predictor")
    return manifest.model_copy(
        update={
            "views": predictor.views,
            "predictor": Input.from_spec(predictor.input),
            "models": (*classifiers, *compiled.models),
            "rejected": (*rejected, *compiled.rejected),
            "calibration": manifest.calibration or compiled.calibration,
            "machine": machine,
            "versions": {**manifest.versions, **library_versions(EXPORT_LIBRARIES)},
        }
    )


def _files(model: Model) -> tuple[str, ...]:
    return tuple(name for name in (model.file, model.weights, model.golden) if name)


def _adapted(bundle: Bundle, dataset: Dataset) -> Dataset:
    """Returns the data set with its labels in the order of the bundle's classes, after its size was checked."""
    height, width = dataset.val.size
    if (height, width) != (bundle.input.height, bundle.input.width):
        raise UsageError(
            f"the bundle takes images of {bundle.input.width} x {bundle.input.height} px, but {dataset.name} was "
            f"opened at {width} x {height} px"
        )
    warn_of_other_crop(dataset, bundle.input.crop, "the bundle")
    return dataset.with_classes(bundle.classes)
