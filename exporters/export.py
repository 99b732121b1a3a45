"""From a checkpoint to a bundle: compile for each engine and precision, measure each, write all or nothing."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from allweather.exporters.calibrate import CalibrationSet, calibration_set
from allweather.exporters.quantize import quantize_onnx, quantize_openvino
from allweather.exporters.to_onnx import to_onnx
from allweather.exporters.to_openvino import read_onnx, serialize
from allweather.exporters.verify import compare, cost_curve, tolerance
from allweather.runtimes.bundle import npy, write_bundle
from allweather.runtimes.device import this_device
from allweather.runtimes.engine import Network, answer_all
from allweather.runtimes.errors import UsageError
from allweather.runtimes.frame import Floats, Image
from allweather.runtimes.manifest import EngineName, Input, Manifest, Model, Precision
from allweather.trainers.checkpoint import LIBRARIES, Checkpoint, library_versions
from allweather.trainers.splits import Dataset
from allweather.trainers.targets import logits

ENGINES: tuple[EngineName, ...] = ("openvino", "onnx")
PRECISIONS: tuple[Precision, ...] = ("fp32", "int8")
PARITY_PICTURES = 1000  # of the test split; +-1.9 points at 90 % (95 % interval), +-0.2 for an agreement of 99.9 %
GOLDEN_PICTURES = 8


@dataclass(frozen=True)
class Reference:
    """What torch says of some test pictures: uint8 [n, h, w, 3], their labels [n] and float32 [n, C] logits."""

    images: Image
    labels: npt.NDArray[np.int64]
    logits: Floats


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
        precisions: of `PRECISIONS`.
        watch: told the name of each step as it begins.

    Raises:
        UsageError: the data set is of other classes or another size than the checkpoint.
        DataError: INT8 is asked for and there are too few pictures to calibrate on.
        EngineError: the network has an operation that an engine has not.
        ParityError: an fp32 model does not compute what torch does.
        OutputError: the bundle cannot be written.
    """
    _check_fit(checkpoint, dataset)
    calibration = calibration_set(dataset) if "int8" in precisions else None
    watch("reference answers from torch")
    reference = _reference(checkpoint, dataset)
    watch("ONNX graph")
    graph = to_onnx(checkpoint.classifier(), checkpoint.input)
    contents = {"golden/frames.npy": npy(reference.images[:GOLDEN_PICTURES])}
    models = []
    for engine in engines:
        for precision in precisions:
            watch(f"{engine} {precision}")
            network = _compile(checkpoint, graph, engine, precision, calibration)
            model, files = _measured(network, engine, precision, reference)
            models.append(model)
            contents |= files
    manifest = Manifest(
        arch=checkpoint.arch,
        classes=checkpoint.classes,
        input=Input.of(checkpoint.input),
        views=("identity",),
        models=tuple(models),
        golden_frames="golden/frames.npy",
        golden_count=len(reference.images[:GOLDEN_PICTURES]),
        calibration=calibration.provenance if calibration else None,
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


def _reference(checkpoint: Checkpoint, dataset: Dataset) -> Reference:
    count = min(PARITY_PICTURES, len(dataset.test))
    some = dataset.test.take(torch.linspace(0, len(dataset.test) - 1, count).long())
    answers = logits(checkpoint.classifier(), some.images)
    return Reference(some.images.numpy(), some.labels.numpy(), answers.numpy())


def _compile(
    checkpoint: Checkpoint, graph: bytes, engine: EngineName, precision: Precision, calibration: CalibrationSet | None
) -> Network:
    weights = b""
    if engine == "openvino":
        model = read_onnx(graph)
        if precision == "int8" and calibration:
            model = quantize_openvino(model, calibration)
        graph, weights = serialize(model)
    elif precision == "int8" and calibration:
        graph = quantize_onnx(graph, calibration)
    return Network(graph, weights, precision, checkpoint.input, len(checkpoint.classes))


def _measured(
    network: Network, engine: EngineName, precision: Precision, reference: Reference
) -> tuple[Model, dict[str, bytes]]:
    """Runs a compiled network; returns what the manifest says of it, and its files."""
    running = importlib.import_module(f"allweather.runtimes.engine_{engine}").start(network)
    parity = compare(answer_all(running, reference.images), reference.logits, reference.labels)
    golden = np.concatenate([running.classify(image[None]) for image in reference.images[:GOLDEN_PICTURES]])
    seconds = cost_curve(running, reference.images[0])
    running.close()
    stem = f"classifier-{precision}"
    name = f"{engine}/{stem}.{'xml' if engine == 'openvino' else 'onnx'}"
    bin_name = f"{engine}/{stem}.bin" if engine == "openvino" else None
    golden_name = f"golden/{engine}-{precision}.npy"
    files = {name: network.graph, golden_name: npy(golden)}
    if bin_name:
        files[bin_name] = network.weights
    model = Model(
        role="classifier",
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
