"""From a checkpoint to a bundle: compile for each engine and precision, measure each, write all or nothing."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from allweather.exporters.quantize import quantize_onnx, quantize_openvino
from allweather.exporters.subject import Subject, subjects
from allweather.exporters.to_onnx import to_onnx
from allweather.exporters.to_openvino import read_onnx, serialize
from allweather.exporters.verify import compare, cost_curve, tolerance
from allweather.runtimes.bundle import npy, write_bundle
from allweather.runtimes.device import this_device
from allweather.runtimes.engine import Network, answer_all
from allweather.runtimes.errors import UsageError
from allweather.runtimes.frame import Image
from allweather.runtimes.manifest import EngineName, Input, Manifest, Model, Precision
from allweather.trainers.checkpoint import LIBRARIES, Checkpoint, library_versions
from allweather.trainers.splits import Dataset

ENGINES: tuple[EngineName, ...] = ("openvino", "onnx")
PRECISIONS: tuple[Precision, ...] = ("fp32", "int8")
log = logging.getLogger(__name__)

GOLDEN_PICTURES = 8
RANKS_ALIKE = 0.95  # share of pictures in which an INT8 predictor must pick the view that torch picks


def export(
    checkpoint: Checkpoint,
    dataset: Dataset,
    out: Path,
    *,
    engines: Sequence[EngineName],
    precisions: Sequence[Precision],
    watch: Callable[[str], None] = lambda step: None,
) -> Manifest:
    """Compiles a checkpoint and writes the bundle.

    Args:
        checkpoint: the classifier.
        dataset: its train split calibrates INT8; its test split measures parity and gives the golden frames.
        out: folder or .zip to write.
        engines: of `ENGINES`.
        precisions: of `PRECISIONS`. A predictor is always there in fp32, too: in INT8 it may lose its order.
        watch: told the name of each step as it begins.

    Raises:
        UsageError: the data set is of other classes or another size than the checkpoint.
        DataError: INT8 is asked for and there are too few pictures to calibrate on.
        EngineError: the network has an operation that an engine has not.
        ParityError: an fp32 model does not compute what torch does.
        OutputError: the bundle cannot be written.
    """
    _check_fit(checkpoint, dataset)
    watch("reference answers from torch")
    contents: dict[str, bytes] = {}
    models, frames, provenance = [], np.zeros(0, np.uint8), None
    for subject in subjects(checkpoint, dataset, int8="int8" in precisions):
        if subject.role == "classifier":
            frames = subject.images[:GOLDEN_PICTURES]
            provenance = subject.calibration.provenance if subject.calibration else None
        watch(f"ONNX graph of the {subject.role}")
        graph = to_onnx(subject.model, subject.spec)
        wanted = precisions if subject.role == "classifier" else tuple(dict.fromkeys(("fp32", *precisions)))
        for engine in engines:
            for precision in wanted:
                watch(f"{subject.role}: {engine} {precision}")
                network = _compile(subject, graph, engine, precision)
                model, files = _measured(network, engine, subject, frames)
                if subject.role == "predictor" and precision == "int8" and model.parity.agreement < RANKS_ALIKE:
                    log.warning(
                        "%s: the INT8 predictor is left out, as it picks the view that torch picks in %.0f %% only; "
                        "the fp32 one is there", engine, 100 * model.parity.agreement,
                    )  # fmt: skip
                    continue
                models.append(model)
                contents |= files
    contents["golden/frames.npy"] = npy(frames)
    predictor = checkpoint.predictor
    manifest = Manifest(
        arch=checkpoint.arch,
        classes=checkpoint.classes,
        input=Input.of(checkpoint.input),
        views=predictor.views if predictor else ("identity",),
        predictor=Input.of(predictor.seen) if predictor else None,
        policies=checkpoint.policies,
        models=tuple(models),
        golden_frames="golden/frames.npy",
        golden_count=len(frames),
        calibration=provenance,
        machine=this_device().line(),
        versions=library_versions((*LIBRARIES, "onnx", "onnxruntime", "openvino", "nncf")),
        files={},
    )
    write_bundle(out, manifest, contents)
    return manifest


def _check_fit(checkpoint: Checkpoint, dataset: Dataset) -> None:
    side = dataset.test.images.shape[1]
    checkpoint.refuse_other_classes(dataset.classes)
    if (side, side) != (checkpoint.input.height, checkpoint.input.width):
        raise UsageError(f"the checkpoint takes {checkpoint.input.height} px, {dataset.name} came in {side} px")


def _compile(subject: Subject, graph: bytes, engine: EngineName, precision: Precision) -> Network:
    weights, calibration = b"", subject.calibration
    if engine == "openvino":
        model = read_onnx(graph)
        if precision == "int8" and calibration:
            model = quantize_openvino(model, calibration)
        graph, weights = serialize(model)
    elif precision == "int8" and calibration:
        graph = quantize_onnx(graph, calibration)
    return Network(graph, weights, precision, subject.spec, subject.answers.shape[1])


def _measured(network: Network, engine: EngineName, subject: Subject, frames: Image) -> tuple[Model, dict[str, bytes]]:
    """Runs a compiled network; returns what the manifest says of it, and its files."""
    running = importlib.import_module(f"allweather.runtimes.engine_{engine}").start(network)
    parity = compare(answer_all(running, subject.images), subject.answers, subject.labels)
    golden = np.concatenate([running.run(subject.spec.prepare(image)[None]) for image in frames])
    seconds = cost_curve(running, subject.images[0])
    running.close()
    precision: Precision = "int8" if network.precision == "int8" else "fp32"
    name = f"{engine}/{subject.role}-{precision}.{'xml' if engine == 'openvino' else 'onnx'}"
    bin_name = f"{engine}/{subject.role}-{precision}.bin" if engine == "openvino" else None
    golden_name = f"golden/{subject.role}-{engine}-{precision}.npy"
    files = {name: network.graph, golden_name: npy(golden)}
    if bin_name:
        files[bin_name] = network.weights
    model = Model(
        role=subject.role,
        engine=engine,
        precision=precision,
        file=name,
        weights=bin_name,
        golden=golden_name,
        tolerance=tolerance(precision, parity),
        seconds=seconds,
        parity=parity,
    )
    return model, files
