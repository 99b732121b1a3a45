"""One candidate for the bundle: a network compiled for an engine in a precision, run here, measured and judged."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from allweather.exporters.calibration import CalibrationSet
from allweather.exporters.job import ExportJob
from allweather.exporters.latency import cost_curve
from allweather.exporters.onnx.convert import to_onnx
from allweather.exporters.onnx.quantize import quantize_onnx
from allweather.exporters.openvino.convert import computes_bf16, read_onnx, serialize
from allweather.exporters.openvino.quantize import quantize_openvino, quantize_with_accuracy
from allweather.exporters.parity import MAX_ACCURACY_DROP, check_parity, tolerance
from allweather.runtimes.bundle.bundle import npy_bytes
from allweather.runtimes.bundle.manifest import EngineName, Model, Precision, Rejected
from allweather.runtimes.engines.onnx import OnnxEngine
from allweather.runtimes.engines.registry import CompiledModel, Engine
from allweather.runtimes.errors import UsageError
from allweather.runtimes.types import Image
from allweather.trainers.training.inference import logits

OFFERED: dict[EngineName, tuple[Precision, ...]] = {
    "openvino": ("fp32", "bf16", "int8"),
    "onnx": ("fp32", "int8"),
    "tensorrt": ("int8", "fp16", "fp32"),  # in the order of NVIDIA's peak rates: only the device can time them
}


@dataclass(frozen=True)
class Candidate:
    """A compiled network, measured.

    Attributes:
        model: what the manifest would say of it.
        files: its files, by their names in a bundle.
        reason: what the gate holds against it; "" where nothing is.
    """

    model: Model
    files: Mapping[str, bytes]
    reason: str

    def rejected(self, reason: str) -> Rejected:
        """What the manifest says of it when it is not kept."""
        of = self.model
        return Rejected(
            role=of.role, engine=of.engine, precision=of.precision, seconds=of.seconds, parity=of.parity, reason=reason
        )


def offered(engine: EngineName, wanted: tuple[Precision, ...] | None) -> tuple[Precision, ...]:
    """The precisions to try on an engine.

    Args:
        engine: to compile for.
        wanted: what was asked for; None for all that this machine can run.

    Raises:
        UsageError: OpenVINO is asked for bf16 on a processor that has none.
    """
    there = OFFERED[engine]
    if wanted is None:
        return tuple(name for name in there if name != "bf16" or computes_bf16())
    if engine == "openvino" and "bf16" in wanted and not computes_bf16():
        raise UsageError("this processor has no bf16, so nothing can be measured in it; leave --precision bf16 out")
    return tuple(name for name in there if name in wanted)


class Compiler:
    """Compiles one network; graphs that several engines share are made once."""

    def __init__(self, job: ExportJob) -> None:
        self._subject = job

    def candidate(self, engine: EngineName, precision: Precision, frames: Image) -> Candidate:
        """Compiles the network, runs it here and judges it.

        An INT8 classifier that loses too much on OpenVINO is quantized anew, with the layers that cost most in float.

        Args:
            engine: for which.
            precision: in which.
            frames: golden frames, uint8 [n, H, W, 3].

        Raises:
            EngineError: the network has an operation that the engine has not.
        """
        found = self._measured(engine, precision, *self._compiled(engine, precision), frames)
        if found.reason and (engine, precision, self._subject.role) == ("openvino", "int8", "classifier"):
            return self._measured(engine, precision, *self._careful(), frames)
        return found

    @cached_property
    def _fp32(self) -> bytes:
        return to_onnx(self._subject.model, self._subject.spec)

    @cached_property
    def _fp16(self) -> bytes:
        return to_onnx(self._subject.model, self._subject.spec, torch.float16)

    @cached_property
    def _int8(self) -> bytes:
        return quantize_onnx(self._fp32, self._calibration)

    @property
    def _calibration(self) -> CalibrationSet:
        assert self._subject.calibration is not None  # `subjects` was told that INT8 is wanted
        return self._subject.calibration

    def _compiled(self, engine: EngineName, precision: Precision) -> tuple[bytes, bytes]:
        """(graph, weights) of a `Network`."""
        if engine == "openvino":
            model = read_onnx(self._fp32)
            return serialize(quantize_openvino(model, self._calibration) if precision == "int8" else model)
        if precision == "int8":
            return self._int8, b""
        return self._fp16 if precision == "fp16" else self._fp32, b""

    def _careful(self) -> tuple[bytes, bytes]:
        """INT8 for OpenVINO, with layers given back to float until the gate's threshold is kept."""
        job = self._subject
        assert job.labels is not None
        assert job.corrupted is not None
        pictures, labels = np.concatenate([job.clean, job.corrupted]), np.tile(job.labels, 2)
        return serialize(
            quantize_with_accuracy(read_onnx(self._fp32), self._calibration, pictures, labels, MAX_ACCURACY_DROP)
        )

    def _measured(
        self, engine: EngineName, precision: Precision, graph: bytes, weights: bytes, frames: Image
    ) -> Candidate:
        """Runs a compiled network."""
        job = self._subject
        prepared = np.stack([job.spec.prepare(image) for image in frames])
        running = _open(engine, CompiledModel(graph, weights, precision, job.spec, job.outputs))
        try:
            verdict = check_parity(job.asked(running), job.answers, job.labels, precision)
            golden = np.concatenate([running.infer(image[None]) for image in prepared])
            seconds = () if engine == "tensorrt" else cost_curve(running, job.clean[0])
        finally:
            running.close()
        # bf16 is the same file as fp32, computed otherwise; TensorRT builds from the ONNX files
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
            tolerance=tolerance(precision, golden, logits(job.model, torch.from_numpy(prepared)).numpy()),
            seconds=seconds,
            parity=verdict.parity,
        )
        return Candidate(model, files, verdict.reason)


def _open(engine: EngineName, network: CompiledModel) -> Engine:
    """The engine; TensorRT's graphs are computed literally by ONNX Runtime, as no GPU need be here.

    But for fp16, of which only weights and answers are rounded so (docs/jetson.md).
    """
    if engine == "tensorrt":
        return OnnxEngine(network, literally=True)
    running: Engine = importlib.import_module(f"allweather.runtimes.engines.engine_{engine}").start(network)
    return running
