"""From a checkpoint to a bundle: compile, measure and judge every candidate; write those that prove themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from allweather.exporters.calibration import half_corrupted
from allweather.exporters.candidates import Candidate, Compiler, offered
from allweather.exporters.job import export_jobs
from allweather.runtimes.bundle.bundle import check_place, npy_bytes, write_bundle
from allweather.runtimes.bundle.manifest import Calibration, EngineName, Input, Manifest, Precision, Rejected
from allweather.runtimes.errors import ParityError, UsageError
from allweather.runtimes.system.device import this_device
from allweather.runtimes.types import Image
from allweather.trainers.checkpoint.checkpoint import LIBRARIES, Checkpoint, library_versions
from allweather.trainers.data.dataset import Dataset

ENGINES: tuple[EngineName, ...] = ("openvino", "onnx")  # where none is named; TensorRT is for those who have a GPU
GOLDEN_PICTURES = 8


@dataclass(frozen=True)
class ExportOptions:
    """Which candidates to compile, and which of them to keep.

    Attributes:
        engines: to compile for.
        precisions: all of these that pass the gate are kept. None to try all that this machine can run, and to keep of
            each engine fp32 and the fastest; of TensorRT all, as only the device can time them.
        force: keep what the gate refuses as well; the manifest says so.
    """

    engines: Sequence[EngineName] = ENGINES
    precisions: Sequence[Precision] | None = None
    force: bool = False


USUAL = ExportOptions()


def export(
    checkpoint: Checkpoint,
    dataset: Dataset,
    out: Path,
    options: ExportOptions = USUAL,
    watch: Callable[[str], None] = lambda step: None,
) -> Manifest:
    """Compiles a checkpoint and writes the bundle.

    Args:
        checkpoint: the classifier, and its predictor, which is always there in fp32, too: INT8 may lose its order.
        dataset: its train split calibrates INT8; its validation split is what the gate judges on.
        out: folder or .zip to write.
        choice: what to compile and keep.
        watch: told the name of each step as it begins.

    Raises:
        UsageError: the data set is of other classes or another size than the checkpoint; no engine offers a precision.
        DataError: INT8 is asked for and there are too few pictures to calibrate on.
        EngineError: the network has an operation that an engine has not.
        ParityError: the gate refuses every classifier.
        OutputError: the bundle cannot be written.
    """
    check_place(out)
    _check_fit(checkpoint, dataset)
    plan = _plan(options)
    watch("reference answers from torch")
    kept: list[Candidate] = []
    rejected: list[Rejected] = []
    provenance: Calibration | None = None
    frames = _golden(dataset)
    for job in export_jobs(checkpoint, dataset, int8=any("int8" in names for names in plan.values())):
        compiler = Compiler(job)
        provenance = job.calibration.provenance if job.calibration else None
        for engine, precisions in plan.items():
            found = []
            for precision in precisions if job.role == "classifier" else _with_fp32(precisions):
                watch(f"{job.role}: {engine} {precision}")
                found.append(compiler.candidate(engine, precision, frames))
            chosen, others = _chosen(found, options)
            kept += chosen
            rejected += others
    if not any(candidate.model.role == "classifier" for candidate in kept):
        reasons = "; ".join(f"{one.engine} {one.precision}: {one.reason}" for one in rejected)
        raise ParityError(f"no classifier passes the gate ({reasons}); --force writes them nonetheless")
    manifest = _manifest(checkpoint, kept, rejected, provenance, frames)
    contents = {name: content for candidate in kept for name, content in candidate.files.items()}
    write_bundle(out, manifest, {**contents, "golden/frames.npy": npy_bytes(frames)})
    return manifest


def _plan(options: ExportOptions) -> dict[EngineName, tuple[Precision, ...]]:
    wanted = None if options.precisions is None else tuple(options.precisions)
    plan = {engine: offered(engine, wanted) for engine in options.engines}
    if any(not names for names in plan.values()) and wanted is not None:
        engine = next(engine for engine, names in plan.items() if not names)
        there = ", ".join(offered(engine, None))
        raise UsageError(f"{engine} is not compiled in {' or '.join(wanted)}; choose of {there}")
    return plan


def _with_fp32(precisions: Iterable[Precision]) -> tuple[Precision, ...]:
    return tuple(dict.fromkeys(("fp32", *precisions)))


def _golden(dataset: Dataset) -> Image:
    """A few pictures that every device must answer alike, every second one corrupted."""
    count = min(GOLDEN_PICTURES, len(dataset.val))
    places = np.linspace(0, len(dataset.val) - 1, count).astype(int)
    return half_corrupted(dataset.val.images[places].numpy())


def _chosen(found: list[Candidate], options: ExportOptions) -> tuple[list[Candidate], list[Rejected]]:
    """Of one engine and role: what is kept, the one to prefer first, and what is not."""
    passed = [one for one in found if not one.reason]
    refused = [one for one in found if one.reason]
    passed.sort(key=lambda one: one.model.seconds or (0.0,))  # stable: TensorRT's stay in the order they are offered
    slower: list[Candidate] = []
    if options.precisions is None and passed and passed[0].model.seconds:
        slower = [one for one in passed[1:] if one.model.precision != "fp32"]
        passed = [one for one in passed if one not in slower]
    rejected = [one.rejected(f"{passed[0].model.precision} answers sooner") for one in slower]
    if options.force:
        return passed + [_forced(one) for one in refused], rejected
    return passed, rejected + [one.rejected(one.reason) for one in refused]


def _forced(candidate: Candidate) -> Candidate:
    model = candidate.model.model_copy(update={"forced": candidate.reason})
    return Candidate(model, candidate.files, candidate.reason)


def _manifest(
    checkpoint: Checkpoint,
    kept: list[Candidate],
    rejected: list[Rejected],
    provenance: Calibration | None,
    frames: Image,
) -> Manifest:
    predictor = checkpoint.predictor
    return Manifest(
        arch=checkpoint.arch,
        classes=checkpoint.classes,
        input=Input.of(checkpoint.input),
        views=predictor.views if predictor else ("identity",),
        predictor=Input.of(predictor.input) if predictor else None,
        policies=checkpoint.policies,
        models=tuple(candidate.model for candidate in kept),
        rejected=tuple(rejected),
        golden_frames="golden/frames.npy",
        golden_count=len(frames),
        calibration=provenance,
        machine=this_device().line(),
        versions=library_versions((*LIBRARIES, "onnx", "onnxruntime", "openvino", "nncf")),
        files={},
    )


def _check_fit(checkpoint: Checkpoint, dataset: Dataset) -> None:
    side = dataset.test.images.shape[1]
    checkpoint.check_classes(dataset.classes)
    if (side, side) != (checkpoint.input.height, checkpoint.input.width):
        raise UsageError(f"the checkpoint takes {checkpoint.input.height} px, {dataset.name} came in {side} px")
