"""What a graph tells about its input and output: sizes, layout, batch, pixel values, and what it ends in."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, numpy_helper

from allweather.exporters.choices import InputLayout
from allweather.runtimes.errors import EngineError
from allweather.runtimes.text import printable

log = logging.getLogger(__name__)

Element = Literal["float32", "float16", "uint8"]
Activation = Literal["softmax", "log_softmax", "sigmoid"]
ELEMENTS: dict[int, Element] = {
    TensorProto.FLOAT: "float32",
    TensorProto.FLOAT16: "float16",
    TensorProto.UINT8: "uint8",
}
IMAGE_CHANNELS = (1, 3)  # gray, color
ACTIVATIONS: dict[str, Activation] = {"Softmax": "softmax", "LogSoftmax": "log_softmax", "Sigmoid": "sigmoid"}
PASSING = ("Identity", "Cast", "Flatten", "Reshape", "Squeeze", "Dropout")  # between the activation and the output
CHOOSING = ("ArgMax", "ArgMin", "TopK", "Hardmax")  # operators that leave of the scores which is the highest
POINTWISE = ("Cast", "Identity", "Sub", "Add", "Mul", "Div")  # compute one value from each pixel
SUM_CLOSE = 1e-2  # how far the sum of probabilities may be from 1
SMALL_SCALE = 0.1  # a factor below this makes small numbers of 0..255


@dataclass(frozen=True)
class InputFacts:
    """What a graph tells about its image input.

    Attributes:
        name: Name of the input.
        element: Type of its values.
        layout: Whether channels come before or after the pixels; None if the graph does not tell.
        channels: 3 for color, 1 for gray; None if the graph does not tell.
        height: Height in pixels; None if it is dynamic.
        width: Width in pixels; None if it is dynamic.
        batch: Number of images in a call; None if it is dynamic.
        inner_pixels: If the graph begins by normalizing its input: 1 if it expects pixels in 0..1, 255 in 0..255.
    """

    name: str
    element: Element
    layout: InputLayout | None
    channels: int | None
    height: int | None
    width: int | None
    batch: int | None
    inner_pixels: int | None


@dataclass(frozen=True)
class OutputFacts:
    """What a graph tells about its output.

    Attributes:
        name: Name of the output.
        logits: Name of the tensor that holds the logits: the input of a final activation, or the output itself.
        activation: The final activation; None if there is none.
    """

    name: str
    logits: str
    activation: Activation | None


def input_facts(model: onnx.ModelProto, where: str) -> InputFacts:
    """Reads what the graph tells about its only input.

    Raises:
        EngineError: The input is no image.
    """
    value = model.graph.input[0]
    tensor, name = value.type.tensor_type, value.name
    element = ELEMENTS.get(tensor.elem_type)
    sizes = [dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else None for dim in tensor.shape.dim]
    if element is None:
        kind = TensorProto.DataType.Name(tensor.elem_type) if tensor.elem_type else "no tensor"
        raise EngineError(
            f"{where}: its input {printable(name[:40])} is {kind.lower()}, and images are float32, float16 or uint8; "
            "export it again with such an input"
        )
    if len(sizes) != 4:
        raise EngineError(
            f"{where}: its input {printable(name[:40])} has the shape {_shape(sizes)}, and images are [n, 3, h, w] or "
            "[n, h, w, 3]; export it again with such an input"
        )
    layout = _layout(model, name, sizes)
    first, last = sizes[1], sizes[3]
    possible = [size for size, known in ((first, "nchw"), (last, "nhwc")) if layout in (None, known)]
    if not any(size in (*IMAGE_CHANNELS, None) for size in possible):
        raise EngineError(
            f"{where}: its input {printable(name[:40])} has the shape {_shape(sizes)}, without 3 color channels in "
            "the second or last place; name an image classifier"
        )
    channels, height, width = (last, *sizes[1:3]) if layout == "nhwc" else (first, *sizes[2:])
    if layout is None:
        channels, height, width = None, None, None
    return InputFacts(name, element, layout, channels, height, width, sizes[0], _inner_pixels(model, name))


def output_facts(model: onnx.ModelProto, where: str) -> OutputFacts:
    """Finds the tensor that holds the logits, before a Softmax, LogSoftmax or Sigmoid that ends the graph.

    Args:
        model: The model.
        where: Name of the file, for messages.

    Raises:
        EngineError: It gives the number of a class, and no scores.
    """
    output = model.graph.output[0].name
    producers = {name: node for node in model.graph.node for name in node.output}
    node = producers.get(output)
    for _ in model.graph.node:  # a damaged graph may lead in a circle
        if node is None or node.op_type not in PASSING:
            break
        node = producers.get(node.input[0])
    check_scores("" if node is None else node.op_type, where)
    activation = ACTIVATIONS.get(node.op_type) if node is not None else None
    if node is None or activation is None:
        return OutputFacts(output, output, None)
    return OutputFacts(output, node.input[0], activation)


def check_scores(operator: str, where: str) -> None:
    """Checks that the operator that ends a graph gives a score for each class.

    Raises:
        EngineError: It gives the number of a class, which has no confidence, and would be taken for a score.
    """
    if operator in CHOOSING:
        raise EngineError(
            f"{where} ends in {operator}, which gives the number of a class and no scores; export it again without "
            "that, so that it gives a logit or a probability for each class"
        )


def are_probabilities(values: npt.NDArray[np.float32]) -> bool:
    """Returns whether outputs, float32 [n, C], are probabilities, as a Softmax of other operators gives them."""
    return bool(values.shape[1] > 1 and values.min() >= 0 and np.allclose(values.sum(1), 1, atol=SUM_CLOSE))


def warn_of_probability(values: npt.NDArray[np.float32], label: str, where: str) -> None:
    """Warns if the only output of a classifier of two classes, with no Sigmoid at its end, may be a probability.

    Args:
        values: What it gives for random images.
        label: Name of the second class.
        where: Name of the file.
    """
    if values.min() >= 0 and values.max() <= 1:
        log.warning(
            "%s gives one number from 0 to 1 for each of a few random images, which is taken for the logit of %s; if "
            "it is a probability, export it again without the operators that make it one",
            where,
            printable(label),
        )


def constants(model: onnx.ModelProto) -> dict[str, npt.NDArray[np.generic]]:
    """Returns the constants of the main graph by name: initializers, and the outputs of Constant nodes."""
    found = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant" and node.attribute and node.attribute[0].name == "value":
            found[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
    return found


def _layout(model: onnx.ModelProto, name: str, sizes: list[int | None]) -> InputLayout | None:
    """Returns the layout by the sizes, and where these leave it open by what reads the input first."""
    first, last = sizes[1] in IMAGE_CHANNELS, sizes[3] in IMAGE_CHANNELS
    if first != last:
        return "nchw" if first else "nhwc"
    for node in _first_readers(model, name):
        if node.op_type == "Conv":
            return "nchw"
        if node.op_type == "Transpose":
            perm = next((list(each.ints) for each in node.attribute if each.name == "perm"), [])
            return "nhwc" if perm == [0, 3, 1, 2] else None
    return None


def _first_readers(model: onnx.ModelProto, name: str, passing: tuple[str, ...] = POINTWISE) -> Iterator[onnx.NodeProto]:
    """Yields the nodes that read the input one after the other, up to the first one that is not `passing`."""
    for _ in model.graph.node:  # a damaged graph may lead in a circle
        readers = [node for node in model.graph.node if name in node.input]
        if len(readers) != 1:
            return
        yield readers[0]
        if readers[0].op_type not in passing:
            return
        name = readers[0].output[0]


def _inner_pixels(model: onnx.ModelProto, name: str) -> int | None:
    """Returns the scale of the pixels that a graph normalizes by its first nodes, 1 or 255; None if it does not.

    The nodes compute a * x + b. The pixel -b / a becomes 0: above 1, it is one of 0..255.
    """
    known, scale, offset, found = constants(model), 1.0, 0.0, False
    for node in _first_readers(model, name, (*POINTWISE, "Transpose")):
        if node.op_type in ("Cast", "Identity", "Transpose"):
            continue
        others = [known[each] for each in node.input if each in known]
        if node.op_type not in ("Sub", "Add", "Mul", "Div") or len(others) != 1:
            break
        if node.op_type in ("Sub", "Div") and node.input[0] in known:
            break
        value, found = float(np.mean(others[0].astype(np.float64))), True
        if node.op_type in ("Sub", "Add"):
            offset += -value if node.op_type == "Sub" else value
        elif value:
            factor = 1 / value if node.op_type == "Div" else value
            scale, offset = scale * factor, offset * factor
    if not found:
        return None
    zero = -offset / scale if scale else 0.0
    return 255 if abs(zero) > 1.5 or scale < SMALL_SCALE else 1


def _shape(sizes: list[int | None]) -> str:
    return f"[{', '.join('?' if size is None else str(size) for size in sizes)}]"[:80]
