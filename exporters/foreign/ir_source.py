"""OpenVINO IR of another program as a source of models for OpenVINO."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from allweather.exporters.choices import InputLayout
from allweather.exporters.foreign.facts import (
    ACTIVATIONS,
    IMAGE_CHANNELS,
    Element,
    InputFacts,
    are_probabilities,
    check_scores,
    warn_of_probability,
)
from allweather.exporters.foreign.ir_wrap import wrap_ir
from allweather.exporters.foreign.model_input import FROM_GRAPH, InputSettings, ModelInput, resolve_input
from allweather.exporters.foreign.wrap import FLOOR
from allweather.runtimes.bundle.manifest import Precision
from allweather.runtimes.engines.openvino_core import openvino_core
from allweather.runtimes.errors import EngineError, UsageError, first_line
from allweather.runtimes.system.isolated_imports import isolated_imports
from allweather.runtimes.system.path_argument import as_path
from allweather.runtimes.text import printable
from allweather.runtimes.types import Floats, Image

with isolated_imports():
    import openvino

ELEMENTS: dict[str, Element] = {"f32": "float32", "f16": "float16", "u8": "uint8"}
OTHER_FILE = "it is no OpenVINO IR, or damaged; convert the model again with ovc"
PASSING = ("Convert", "Reshape", "Squeeze")  # between the activation and the output
IR_ACTIVATIONS = {**ACTIVATIONS, "SoftMax": "softmax", "LogSoftmax": "log_softmax"}
MAX_FILE_BYTES = 2**31 - 1  # of the .bin file, as in a bundle


@dataclass(frozen=True)
class IrSource:
    """OpenVINO IR as a `ModelSource`; there is no ONNX graph of it.

    Attributes:
        xml: Content of the .xml file.
        weights: Content of the .bin file.
        taken: What the model takes.
        where: Name of the file, for messages.
        is_probability: Whether its output holds probabilities without a Softmax at its end; see `wrap_ir`.
        name: See `ModelSource`.
        precision: See `ModelSource`.
    """

    xml: bytes
    weights: bytes
    taken: ModelInput
    where: str
    is_probability: bool = False
    name: str = "the original"
    precision: Precision = "fp32"

    @property
    def fp32(self) -> bytes:
        """See `ModelSource`."""
        raise EngineError(
            f"{self.where} is OpenVINO IR, which has no ONNX graph; import the ONNX file it was made from"
        )

    @property
    def fp16(self) -> bytes:
        """See `ModelSource`."""
        return self.fp32

    def openvino(self) -> openvino.Model:
        """See `ModelSource`."""
        model = _read(self.xml, self.weights, self.where)
        return wrap_ir(model, _logits(model), self.taken, self.where, is_probability=self.is_probability)

    def run(self, images: Image) -> Floats:
        """See `ModelSource`."""
        return self.read(images, self.taken)

    def read(self, images: Image, taken: ModelInput) -> Floats:
        """Returns the logits of images that are prepared in numpy as `taken` says, each alone; see `Readable`."""
        model = _read(self.xml, self.weights, self.where)
        logits = _logits(model)
        with_logits = openvino.Model([openvino.opset8.result(logits)], model.get_parameters(), "original")
        prepared = taken.prepare(images[:1])
        try:
            with_logits.reshape(list(prepared.shape))
            compiled = openvino_core().compile_model(with_logits, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
            rows = [np.array(compiled(taken.prepare(image[None]))[0], np.float32) for image in images]
        except RuntimeError as error:
            raise EngineError(
                f"{self.where} fails on images {taken.sentence()} ({first_line(error)}); say what it takes with "
                "--layout and --size"
            ) from error
        if rows[0].ndim < 2 or rows[0].shape[0] != 1 or rows[0].size != rows[0].shape[1]:
            raise EngineError(
                f"{self.where} gives {list(rows[0].shape)} for an image, and a classifier gives [1, classes]; "
                "name an image classifier"
            )
        values = np.concatenate([row.reshape(1, -1) for row in rows])
        values = np.log(values + np.float32(FLOOR)) if self.is_probability else values
        return values * np.array([[0, 1]], np.float32) if values.shape[1] == 1 else values


def open_ir(
    path: Path | str, classes: tuple[str, ...], settings: InputSettings = FROM_GRAPH
) -> tuple[IrSource, ModelInput]:
    """Reads OpenVINO IR of a classifier.

    Args:
        path: The .xml file; its .bin file lies beside it.
        classes: Names of the classes, in the order of its outputs.
        settings: What the user says about its input.

    Returns:
        (the source of models, what the file takes).

    Raises:
        EngineError: A file is missing or damaged, or holds no image classifier.
        UsageError: The settings or classes contradict the model, or it does not tell what they leave out.
    """
    path = as_path(path)
    where = printable(str(path))
    xml, weights = _content(path, where), _content(path.with_suffix(".bin"), where)
    if not xml.lstrip().startswith(b"<"):
        raise EngineError(f"{where}: {OTHER_FILE}")
    model = _read(xml, weights, where)
    _check_model(model, where)
    check_scores(_ending(model).get_type_name(), where)
    taken = resolve_input(_facts(model, where), settings, where)
    source = IrSource(xml, weights, taken, where)
    probes = np.random.default_rng(0).integers(0, 256, (5, taken.spec.height, taken.spec.width, 3), np.uint8)
    outputs = source.run(probes)
    if outputs.shape[1] != len(classes):
        raise UsageError(
            f"{where} gives {outputs.shape[1]} outputs for each image, and --classes names {len(classes)} classes; "
            "name as many, in the order of its outputs"
        )
    if _ending(model).get_type_name() not in IR_ACTIVATIONS:
        source = dataclasses.replace(source, is_probability=are_probabilities(outputs))
        if not outputs[:, 0].any():  # one output, see `read`
            warn_of_probability(outputs[:, 1:], classes[1], where)
    return source, taken


def _content(path: Path, where: str) -> bytes:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise EngineError(f"{where}: {printable(path.name)} is larger than 2 GB, which no bundle takes")
        return path.read_bytes()
    except FileNotFoundError as error:
        raise EngineError(
            f"{where}: {printable(path.name)} is missing; OpenVINO IR is an .xml and a .bin file beside each other"
        ) from error
    except OSError as error:
        raise EngineError(f"{where}: {printable(path.name)} cannot be read ({first_line(error)})") from error


def _read(xml: bytes, weights: bytes, where: str) -> openvino.Model:
    try:
        return openvino_core().read_model(xml, weights)
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise EngineError(f"{where}: {OTHER_FILE} ({printable(lines[-1][:150])})") from error


def _check_model(model: openvino.Model, where: str) -> None:
    """Checks that it is one float classifier with finite weights."""
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise EngineError(
            f"{where} has {len(model.inputs)} inputs and {len(model.outputs)} outputs, and a classifier has one of "
            "each; name an image classifier"
        )
    for node in model.get_ops():
        if node.get_type_name() == "FakeQuantize":
            raise EngineError(f"{where} is quantized already; name the float model that it was made from")
        if node.get_type_name() == "Constant" and node.get_element_type().is_real():
            values = node.get_data()
            if not np.isfinite(np.asarray(values, np.float32)).all() and values.size > 1:
                raise EngineError(
                    f"{where}: the weight {printable(node.get_friendly_name()[:80])} holds NaN or infinity; name a "
                    "model of a training that succeeded"
                )


def _facts(model: openvino.Model, where: str) -> InputFacts:
    """Reads what the model tells about its input."""
    port = model.inputs[0]
    shape, name = port.get_partial_shape(), printable(port.get_node().get_friendly_name()[:40])
    element = ELEMENTS.get(port.get_element_type().get_type_name())
    if element is None or shape.rank.is_dynamic or len(shape) != 4:
        raise EngineError(
            f"{where}: its input {name} is {port.get_element_type().get_type_name()} {shape}, and images are float32, "
            "float16 or uint8, [n, 3, h, w] or [n, h, w, 3]; convert it again with such an input"
        )
    sizes = [dim.get_length() if dim.is_static else None for dim in shape]
    first, last = sizes[1] in IMAGE_CHANNELS, sizes[3] in IMAGE_CHANNELS
    layout: InputLayout | None = None if first == last else "nchw" if first else "nhwc"
    channels, height, width = (sizes[3], *sizes[1:3]) if layout == "nhwc" else (sizes[1], *sizes[2:])
    if layout is None:
        channels, height, width = None, None, None
    return InputFacts(name, element, layout, channels, height, width, sizes[0], None)


def _logits(model: openvino.Model) -> openvino.Output:
    """Returns what holds the logits: the input of a final activation, or the output itself."""
    ending = _ending(model)
    return ending.input_value(0) if ending.get_type_name() in IR_ACTIVATIONS else model.get_results()[0].input_value(0)


def _ending(model: openvino.Model) -> openvino.Node:
    """Returns the operator that gives the values of the output."""
    node = model.get_results()[0].input_value(0).get_node()
    while node.get_type_name() in PASSING:
        node = node.input_value(0).get_node()
    return node
