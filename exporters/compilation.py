"""Compiles the jobs of an export for each engine and precision, and keeps what passes the parity gate."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from allweather.exporters.calibration import corrupt_every_second
from allweather.exporters.candidates import CandidateBuilder, ExportCandidate, precisions_to_try
from allweather.exporters.job import ExportJob
from allweather.runtimes.bundle.manifest import Calibration, EngineName, Model, Precision, Rejected, Role
from allweather.runtimes.engines.open import ROLE_NAMES
from allweather.runtimes.engines.registry import engine_spec, exportable
from allweather.runtimes.errors import EngineError, ParityError, UsageError, check_choice
from allweather.runtimes.setting_types import check_types
from allweather.runtimes.types import Image
from allweather.trainers.checkpoint.checkpoint import RECORDED_LIBRARIES
from allweather.trainers.data.split import LabeledImages

log = logging.getLogger(__name__)

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
        force: Whether to keep models that the parity gate rejects as well, which the manifest marks, and to import a
            classifier that reads its images badly.
    """

    engines: Sequence[EngineName] = DEFAULT_ENGINES
    precisions: Sequence[Precision] | None = None
    force: bool = False

    def __post_init__(self) -> None:
        """Checks the types of the values, and the names.

        Raises:
            UsageError: One is of another type, or no engine or precision, or no engine is named.
        """
        check_types(self)
        for engine in self.engines:
            check_choice("engine", engine, EngineName)
        for precision in self.precisions or ():
            check_choice("precision", precision, Precision)
        if not self.engines or (self.precisions is not None and not self.precisions):
            raise UsageError("nothing would be exported: name an engine or more, and a precision or more, or None")


DEFAULT_OPTIONS = ExportOptions()
EXPORT_LIBRARIES = (*RECORDED_LIBRARIES, "onnx", "onnxruntime", "openvino", "nncf")  # recorded in the manifest
Plan = Mapping[EngineName, tuple[Precision, ...]]


@dataclass(frozen=True)
class Compilation:
    """What an export has compiled.

    Attributes:
        models: Entries of the manifest for the models to keep.
        files: Contents of their files by their paths in the bundle.
        rejected: Entries of the manifest for the others.
        calibration: Images that set the ranges of INT8; None if no INT8 model was compiled.
    """

    models: tuple[Model, ...]
    files: Mapping[str, bytes]
    rejected: tuple[Rejected, ...]
    calibration: Calibration | None

    def check_kept(self, roles: Iterable[Role], cure: str = "--force writes them nonetheless") -> None:
        """Checks that a model of each of some roles is kept.

        Args:
            roles: The roles.
            cure: What to do where none is.

        Raises:
            ParityError: The parity gate rejects every one of a role.
        """
        for role in roles:
            if not any(model.role == role for model in self.models):
                reasons = "; ".join(
                    f"{model.engine} {model.precision}: {model.reason}" for model in self.rejected if model.role == role
                )
                raise ParityError(f"no {ROLE_NAMES[role]} passes the parity gate ({reasons}); {cure}")

    def warn_of_weak_large(self) -> None:
        """Warns of a large classifier that reads fewer validation images correctly than the classifier before it."""
        accuracies = {model.role: model.parity.reference_accuracy for model in self.models}
        small, large = accuracies.get("classifier"), accuracies.get("large")
        if small is not None and large is not None and large < small:
            log.warning(
                "the large classifier reads %.1f %% of the validation images correctly, and the classifier %.1f %%: a "
                "policy with +large can hardly gain by it; if the two are swapped, name them the other way round",
                100 * large, 100 * small,
            )  # fmt: skip


def compile_jobs(
    jobs: Iterable[ExportJob], plan: Plan, options: ExportOptions, golden_frames: Image, watch: Callable[[str], None]
) -> Compilation:
    """Compiles every job in every precision of the plan, checks the parity, and selects what to keep.

    A loss predictor is always compiled in fp32 as well. INT8 that a model is not made for is left out, with a warning,
    unless the options ask for it.

    Args:
        jobs: Models to compile.
        plan: Precisions to compile in, for each engine; see `precision_plan`.
        options: What to keep.
        golden_frames: Golden frames of the bundle, uint8 [n, H, W, 3], RGB.
        watch: Called with the name of each step when it starts.

    Raises:
        EngineError: A model has an operation that an engine does not have.
    """
    kept: list[ExportCandidate] = []
    rejected: list[Rejected] = []
    provenance: Calibration | None = None
    for job in jobs:
        builder = CandidateBuilder(job)
        provenance = job.calibration.provenance if job.calibration else None
        for engine, precisions in plan.items():
            candidates = []
            for precision in _with_fp32(precisions) if job.role == "predictor" else precisions:
                watch(f"{job.role}: {engine} {precision}")
                try:
                    candidates.append(builder.build(engine, precision, golden_frames))
                except EngineError as error:
                    if options.precisions is not None or precision != "int8":
                        raise
                    log.warning("%s: there is no INT8 model for %s: %s", job.role, engine, error)
            to_keep, to_reject = _select(candidates, options)
            kept += to_keep
            rejected += to_reject
    contents = {name: content for candidate in kept for name, content in candidate.files.items()}
    return Compilation(tuple(candidate.model for candidate in kept), contents, tuple(rejected), provenance)


def precision_plan(options: ExportOptions) -> Plan:
    """Returns the precisions to compile in, for each engine.

    Raises:
        UsageError: An engine has none of the requested precisions.
    """
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


def choose_golden_frames(validation: LabeledImages) -> Image:
    """Returns a few validation images, every second one corrupted, on which every device must give the same outputs."""
    count = min(MAX_GOLDEN_FRAMES, len(validation))
    indices = np.linspace(0, len(validation) - 1, count).astype(int)
    return corrupt_every_second(validation.take(torch.from_numpy(indices)).loaded().images.numpy())


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
