"""From a checkpoint to a bundle: compiles every candidate, checks its parity, and writes those that pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from allweather.exporters.calibration import corrupt_every_second
from allweather.exporters.candidates import CandidateBuilder, ExportCandidate, precisions_to_try
from allweather.exporters.job import export_jobs
from allweather.runtimes.bundle.bundle import check_bundle_path, npy_bytes, write_bundle
from allweather.runtimes.bundle.manifest import Calibration, EngineName, Input, Manifest, Precision, Rejected
from allweather.runtimes.engines.registry import engine_spec, exportable
from allweather.runtimes.errors import ParityError, UsageError
from allweather.runtimes.system.device import this_device
from allweather.runtimes.types import Image
from allweather.trainers.checkpoint.checkpoint import RECORDED_LIBRARIES, Checkpoint, library_versions
from allweather.trainers.data.dataset import Dataset

# The engines that run on a CPU. TensorRT must be asked for, because only a device with a GPU can use it.
DEFAULT_ENGINES = tuple(name for name in exportable() if engine_spec(name).device == "CPU")
MAX_GOLDEN_FRAMES = 8


@dataclass(frozen=True)
class ExportOptions:
    """Which models to compile, and which of them to keep.

    Attributes:
        engines: Engines to compile for.
        precisions: Precisions to compile in; every model that passes the parity gate is kept. None tries all that this
            machine can run, and keeps fp32 and the fastest one for each engine. For TensorRT it keeps every model that
            passes, because only the device can measure their latency.
        force: Whether to keep models that the parity gate rejects as well; the manifest marks them.
    """

    engines: Sequence[EngineName] = DEFAULT_ENGINES
    precisions: Sequence[Precision] | None = None
    force: bool = False


DEFAULT_OPTIONS = ExportOptions()


def export_checkpoint(
    checkpoint: Checkpoint,
    dataset: Dataset,
    out: Path,
    options: ExportOptions = DEFAULT_OPTIONS,
    watch: Callable[[str], None] = lambda step: None,
) -> Manifest:
    """Compiles a checkpoint for the device, checks the parity of every model, and writes the bundle.

    Args:
        checkpoint: Classifier, with or without a loss predictor. A loss predictor is always compiled in fp32 as
            well, because in INT8 it may no longer order the views as torch does.
        dataset: Data set of the same classes and image size. Its train split calibrates INT8, its validation split is
            used by the parity gate.
        out: Folder or .zip file to write.
        options: What to compile and keep.
        watch: Called with the name of each step when it starts.

    Returns:
        The manifest of the bundle.

    Raises:
        UsageError: The data set has other classes or another image size than the checkpoint, or an engine has none of
            the requested precisions.
        DataError: INT8 is requested and there are too few images for calibration.
        EngineError: The model has an operation that an engine does not have.
        ParityError: The parity gate rejects every classifier.
        OutputError: The bundle cannot be written.
    """
    check_bundle_path(out)
    dataset = _adapted(checkpoint, dataset)
    plan = _plan(options)
    watch("reference outputs from torch")
    kept: list[ExportCandidate] = []
    rejected: list[Rejected] = []
    provenance: Calibration | None = None
    golden_frames = _golden_frames(dataset)
    for job in export_jobs(checkpoint, dataset, int8=any("int8" in precisions for precisions in plan.values())):
        builder = CandidateBuilder(job)
        provenance = job.calibration.provenance if job.calibration else None
        for engine, precisions in plan.items():
            candidates = []
            for precision in precisions if job.role == "classifier" else _with_fp32(precisions):
                watch(f"{job.role}: {engine} {precision}")
                candidates.append(builder.build(engine, precision, golden_frames))
            to_keep, to_reject = _select(candidates, options)
            kept += to_keep
            rejected += to_reject
    if not any(candidate.model.role == "classifier" for candidate in kept):
        reasons = "; ".join(f"{model.engine} {model.precision}: {model.reason}" for model in rejected)
        raise ParityError(f"no classifier passes the parity gate ({reasons}); --force writes them nonetheless")
    manifest = _manifest(checkpoint, kept, rejected, provenance, golden_frames)
    contents = {name: content for candidate in kept for name, content in candidate.files.items()}
    write_bundle(out, manifest, {**contents, "golden/frames.npy": npy_bytes(golden_frames)})
    return manifest


def _plan(options: ExportOptions) -> dict[EngineName, tuple[Precision, ...]]:
    """Returns the precisions to compile in, for each engine."""
    requested = None if options.precisions is None else tuple(options.precisions)
    plan = {engine: precisions_to_try(engine, requested) for engine in options.engines}
    unsupported = [engine for engine, precisions in plan.items() if not precisions]
    if unsupported and requested is not None:
        available = ", ".join(precisions_to_try(unsupported[0], None))
        raise UsageError(
            f"{unsupported[0]} models are not exported in {' or '.join(requested)}; choose one of {available}"
        )
    return plan


def _with_fp32(precisions: Iterable[Precision]) -> tuple[Precision, ...]:
    return tuple(dict.fromkeys(("fp32", *precisions)))


def _golden_frames(dataset: Dataset) -> Image:
    """Returns a few validation images, every second one corrupted, on which every device must give the same outputs."""
    count = min(MAX_GOLDEN_FRAMES, len(dataset.val))
    indices = np.linspace(0, len(dataset.val) - 1, count).astype(int)
    return corrupt_every_second(dataset.val.images[indices].numpy())


def _select(candidates: list[ExportCandidate], options: ExportOptions) -> tuple[list[ExportCandidate], list[Rejected]]:
    """Returns the candidates of one engine and role to keep, the preferred one first, and those to reject."""
    passed = [candidate for candidate in candidates if not candidate.reason]
    failed = [candidate for candidate in candidates if candidate.reason]
    passed.sort(key=lambda each: each.model.seconds or (0.0,))  # untimed TensorRT models keep their order
    slower: list[ExportCandidate] = []
    if options.precisions is None and passed and passed[0].model.seconds:
        slower = [candidate for candidate in passed[1:] if candidate.model.precision != "fp32"]
        passed = [candidate for candidate in passed if candidate not in slower]
    rejected = [candidate.rejected(f"the {passed[0].model.precision} model is faster") for candidate in slower]
    if options.force:
        return passed + [_forced(candidate) for candidate in failed], rejected
    return passed, rejected + [candidate.rejected(candidate.reason) for candidate in failed]


def _forced(candidate: ExportCandidate) -> ExportCandidate:
    """Returns the candidate with a manifest entry that says why the parity gate rejects it."""
    model = candidate.model.model_copy(update={"forced": candidate.reason})
    return ExportCandidate(model, candidate.files, candidate.reason)


def _manifest(
    checkpoint: Checkpoint,
    kept: list[ExportCandidate],
    rejected: list[Rejected],
    provenance: Calibration | None,
    golden_frames: Image,
) -> Manifest:
    predictor = checkpoint.predictor
    return Manifest(
        arch=checkpoint.arch,
        classes=checkpoint.classes,
        input=Input.from_spec(checkpoint.input),
        views=predictor.views if predictor else ("identity",),
        predictor=Input.from_spec(predictor.input) if predictor else None,
        policies=checkpoint.policies,
        models=tuple(candidate.model for candidate in kept),
        rejected=tuple(rejected),
        golden_frames="golden/frames.npy",
        golden_count=len(golden_frames),
        calibration=provenance,
        machine=this_device().line(),
        versions=library_versions((*RECORDED_LIBRARIES, "onnx", "onnxruntime", "openvino", "nncf")),
        files={},
    )


def _adapted(checkpoint: Checkpoint, dataset: Dataset) -> Dataset:
    """Returns the data set with its labels in the order of the checkpoint's classes, after its size was checked."""
    size = dataset.test.images.shape[1]
    if (size, size) != (checkpoint.input.height, checkpoint.input.width):
        raise UsageError(
            f"the checkpoint takes images of {checkpoint.input.height} px, but {dataset.name} was opened at {size} px"
        )
    return checkpoint.adapt(dataset)
