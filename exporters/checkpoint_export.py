"""From a checkpoint to a bundle: compiles every candidate, checks its parity, and writes those that pass."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from torch import nn

from allweather.exporters.checkpoint_jobs import export_jobs, second_classifier
from allweather.exporters.compilation import DEFAULT_ENGINES as DEFAULT_ENGINES
from allweather.exporters.compilation import (
    DEFAULT_OPTIONS,
    EXPORT_LIBRARIES,
    Compilation,
    choose_golden_frames,
    compile_jobs,
    precision_plan,
)
from allweather.exporters.compilation import ExportOptions as ExportOptions
from allweather.exporters.installed import check_installed
from allweather.exporters.model_card import MODEL_CARD, checkpoint_card
from allweather.runtimes.bundle.bundle import npy_bytes, write_bundle
from allweather.runtimes.bundle.manifest import Input, Manifest, Role
from allweather.runtimes.bundle.output_path import check_bundle_path
from allweather.runtimes.errors import UsageError
from allweather.runtimes.system.device import this_device
from allweather.runtimes.system.path_argument import as_path
from allweather.runtimes.types import Image
from allweather.trainers.checkpoint.checkpoint import Checkpoint, library_versions
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.steps.arguments import check_argument
from allweather.trainers.steps.start import check_start, checkpoint_of


def export(
    checkpoint: Checkpoint | nn.Module | Path | str,
    dataset: Dataset,
    out: Path | str,
    options: ExportOptions = DEFAULT_OPTIONS,
    watch: Callable[[str], None] = lambda step: None,
    *,
    large: Checkpoint | Path | str | None = None,
) -> Manifest:
    """Compiles a checkpoint for the device, checks the parity of every model, and writes the bundle.

    Args:
        checkpoint: Classifier, with or without a loss predictor: a checkpoint, its file, or a trained module (see
            `Checkpoint.of`). A loss predictor is always compiled in fp32 as well, because in INT8 it may no longer
            order the views as torch does.
        dataset: Data set of the same classes and image size. Its train split calibrates INT8, its validation split is
            used by the parity gate.
        out: Folder or .zip file to write.
        options: What to compile and keep.
        watch: Called with the name of each step when it starts.
        large: A second classifier of the same classes and input, or its file: slower, and better. Policies such as
            "center+large@0.9" run it where the first one is not confident. Its own loss predictor and policies, if it
            has any, are left out.

    Returns:
        The manifest of the bundle.

    Raises:
        UsageError: The data set or the large classifier has other classes or another image size than the checkpoint,
            or an engine has none of the requested precisions.
        DataError: INT8 is requested and there are too few images for calibration.
        EngineError: The model has an operation that an engine does not have.
        ParityError: The parity gate rejects every classifier, every large one or every loss predictor.
        OutputError: The bundle cannot be written.
    """
    check_start(checkpoint)
    out = as_path(out)
    large = large if large is None or isinstance(large, Checkpoint) else as_path(large)
    check_argument("dataset", dataset, Dataset)
    check_argument("options", options, ExportOptions)
    check_bundle_path(out)
    checkpoint = checkpoint_of(checkpoint, dataset)
    second = None if large is None else second_classifier(checkpoint, large)
    if second is None and (runs_large := [policy.name for policy in checkpoint.policies if policy.large]):
        raise UsageError(
            f"the checkpoint has the policy {runs_large[0]}, which runs a large classifier; name its checkpoint "
            "(--large)"
        )
    dataset = _adapted(checkpoint, dataset)
    plan = precision_plan(options)
    check_installed(plan, traces=True)
    watch("reference outputs from torch")
    golden_frames = choose_golden_frames(dataset.val)
    jobs = export_jobs(checkpoint, dataset, second, int8=any("int8" in precisions for precisions in plan.values()))
    compiled = compile_jobs(jobs, plan, options, golden_frames, watch)
    has: dict[Role, bool] = {"classifier": True, "large": second is not None, "predictor": bool(checkpoint.predictor)}
    compiled.check_kept(role for role, wanted in has.items() if wanted)
    compiled.warn_of_weak_large()
    manifest = _manifest(checkpoint, compiled, golden_frames)
    card = {MODEL_CARD: checkpoint_card(manifest, checkpoint)}
    write_bundle(out, manifest, {**compiled.files, "golden/frames.npy": npy_bytes(golden_frames), **card})
    return manifest


def _manifest(checkpoint: Checkpoint, compiled: Compilation, golden_frames: Image) -> Manifest:
    predictor = checkpoint.predictor
    return Manifest(
        arch=checkpoint.arch,
        classes=checkpoint.classes,
        input=Input.from_spec(checkpoint.input),
        views=predictor.views if predictor else ("identity",),
        predictor=Input.from_spec(predictor.input) if predictor else None,
        policies=checkpoint.policies,
        models=compiled.models,
        rejected=compiled.rejected,
        golden_frames="golden/frames.npy",
        golden_count=len(golden_frames),
        calibration=compiled.calibration,
        machine=this_device().line(),
        versions=library_versions(EXPORT_LIBRARIES),
        files={},
    )


def _adapted(checkpoint: Checkpoint, dataset: Dataset) -> Dataset:
    """Returns the data set with its labels in the order of the checkpoint's classes, after its size was checked."""
    taken, opened = checkpoint.input, dataset.input
    if (opened.height, opened.width) != (taken.height, taken.width):
        raise UsageError(
            f"the checkpoint takes images of {taken.height} x {taken.width} px (height x width), but {dataset.name} "
            f"was opened at {opened.height} x {opened.width} px"
        )
    return checkpoint.adapt(dataset)
