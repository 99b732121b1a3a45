"""Candidates for a bundle: a model compiled for one engine in one precision, run on this machine and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from allweather.exporters.calibration import CalibrationSet
from allweather.exporters.job import ExportJob
from allweather.exporters.latency import measure_latency
from allweather.exporters.onnx.quantize import quantize_onnx
from allweather.exporters.openvino.convert import cpu_supports_bf16, serialize
from allweather.exporters.openvino.quantize import quantize_openvino, quantize_with_accuracy
from allweather.exporters.parity import MAX_ACCURACY_DROP, check_parity, tolerance
from allweather.runtimes.bundle.bundle import npy_bytes
from allweather.runtimes.bundle.manifest import EngineName, Model, Precision, Rejected
from allweather.runtimes.engines.base import CompiledModel, Engine
from allweather.runtimes.engines.onnx import OnnxEngine
from allweather.runtimes.engines.registry import precisions, start_engine
from allweather.runtimes.errors import UsageError
from allweather.runtimes.types import Image
from allweather.trainers.training.uncertainty import MIN_IMAGES


@dataclass(frozen=True)
class ExportCandidate:
    """A compiled model that may go into the bundle, with its parity and latency.

    Attributes:
        model: Its entry in the manifest.
        files: Contents of its files by their paths in the bundle.
        reason: Why the parity gate rejects it; "" if it passes.
    """

    model: Model
    files: Mapping[str, bytes]
    reason: str

    def rejected(self, reason: str) -> Rejected:
        """Returns its entry in the manifest's list of rejected models."""
        model = self.model
        return Rejected(
            role=model.role,
            engine=model.engine,
            precision=model.precision,
            seconds=model.seconds,
            parity=model.parity,
            reason=reason,
        )


def precisions_to_try(engine: EngineName, requested: tuple[Precision, ...] | None) -> tuple[Precision, ...]:
    """Returns the precisions in which to compile for an engine.

    Args:
        engine: Engine to compile for.
        requested: Precisions the caller asked for; None for all that this machine can run.

    Raises:
        UsageError: bf16 is requested for OpenVINO, and this processor has no bf16 instructions.
    """
    available = precisions(engine)
    if requested is None:
        return tuple(name for name in available if name != "bf16" or cpu_supports_bf16())
    if engine == "openvino" and "bf16" in requested and not cpu_supports_bf16():
        raise UsageError(
            "this processor has no bf16 instructions, so no bf16 model can be checked here; leave --precision bf16 out"
        )
    return tuple(name for name in available if name in requested)


class CandidateBuilder:
    """Builds the candidates of one export job; an ONNX graph that several candidates share is made once.

    Args:
        job: Model to compile, and what checks it.
    """

    def __init__(self, job: ExportJob) -> None:
        self._job = job

    def build(self, engine: EngineName, precision: Precision, golden_frames: Image) -> ExportCandidate:
        """Compiles the model, runs it here and checks its parity.

        An INT8 classifier for OpenVINO that fails the parity gate is quantized again, and then the layers that cost the
        most accuracy stay in float; not with fewer than 50 images, whose accuracy says nothing about a layer.

        Args:
            engine: Engine to compile for.
            precision: Precision to compile in.
            golden_frames: Golden frames of the bundle, uint8 [n, H, W, 3], RGB.

        Raises:
            EngineError: The model has an operation that the engine does not have.
        """
        candidate = self._evaluate(engine, precision, *self._compile(engine, precision), golden_frames)
        wanted = (engine, precision) == ("openvino", "int8") and self._job.role != "predictor"
        if candidate.reason and wanted and len(self._job.clean) >= MIN_IMAGES:
            return self._evaluate(engine, precision, *self._compile_with_accuracy_control(), golden_frames)
        return candidate

    @cached_property
    def _int8(self) -> bytes:
        return quantize_onnx(self._job.source.fp32, self._calibration)

    @property
    def _calibration(self) -> CalibrationSet:
        assert self._job.calibration is not None  # `export_jobs` was called with int8=True
        return self._job.calibration

    def _compile(self, engine: EngineName, precision: Precision) -> tuple[bytes, bytes]:
        """Returns graph and weights as `CompiledModel` takes them."""
        if engine == "openvino":
            model = self._job.source.openvino()
            return serialize(quantize_openvino(model, self._calibration) if precision == "int8" else model)
        if precision == "int8":
            return self._int8, b""
        return self._job.source.fp16 if precision == "fp16" else self._job.source.fp32, b""

    def _compile_with_accuracy_control(self) -> tuple[bytes, bytes]:
        """Returns an INT8 model for OpenVINO in which layers stay in float until the accuracy drop is allowed."""
        job = self._job
        assert job.labels is not None
        assert job.corrupted is not None
        assert job.bright is not None
        assert job.dark is not None
        images = np.concatenate([job.clean, job.corrupted, job.bright, job.dark])
        labels = np.concatenate([job.labels, job.labels, job.labels[::2], job.labels[1::2]])
        return serialize(
            quantize_with_accuracy(job.source.openvino(), self._calibration, images, labels, MAX_ACCURACY_DROP)
        )

    def _evaluate(
        self, engine: EngineName, precision: Precision, graph: bytes, weights: bytes, golden_frames: Image
    ) -> ExportCandidate:
        """Runs a compiled model to check its parity, record its golden outputs and measure its latency."""
        job = self._job
        prepared = np.stack([job.spec.prepare(image) for image in golden_frames])
        running = _open(engine, CompiledModel(graph, weights, precision, job.spec, job.num_outputs))
        try:
            threshold = job.source.precision if precision == "fp32" else precision  # an fp16 original is rounded itself
            result = check_parity(job.run(running), job.reference, job.labels, threshold, job.source.name)
            golden = np.concatenate([running.infer(image[None]) for image in prepared])
            seconds = () if engine == "tensorrt" else measure_latency(running, job.clean[0])
        finally:
            running.close()
        # bf16 has no file of its own: OpenVINO computes the fp32 model in bf16. The models for TensorRT are ONNX files.
        stem = f"{job.role}-{'fp32' if precision == 'bf16' else precision}"
        file = f"openvino/{stem}.xml" if engine == "openvino" else f"onnx/{stem}.onnx"
        bin_file = f"openvino/{stem}.bin" if engine == "openvino" else None
        golden_file = f"golden/{job.role}-{engine}-{precision}.npy"
        files = {file: graph, golden_file: npy_bytes(golden)} | ({bin_file: weights} if bin_file else {})
        model = Model(
            role=job.role,
            engine=engine,
            precision=precision,
            file=file,
            weights=bin_file,
            golden=golden_file,
            tolerance=tolerance(precision, golden, job.source.run(prepared)),
            seconds=seconds,
            parity=result.parity,
        )
        return ExportCandidate(model, files, result.reason)


def _open(engine: EngineName, compiled: CompiledModel) -> Engine:
    """Opens the engine on this machine.

    In place of TensorRT, ONNX Runtime computes the graph as it is written, without its optimizations, so that no GPU is
    needed here. In fp16 that differs from a GPU: only weights and outputs are rounded to fp16 (docs/how-to/jetson.md).
    """
    if engine == "tensorrt":
        return OnnxEngine(compiled, literally=True)
    return start_engine(engine, compiled)
