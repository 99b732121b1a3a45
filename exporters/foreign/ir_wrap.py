"""Rewrites OpenVINO IR so that it takes uint8 NHWC RGB images and gives logits, as every model of a bundle does."""

from __future__ import annotations

import numpy as np

from allweather.exporters.foreign.model_input import ModelInput
from allweather.exporters.foreign.wrap import FLOOR
from allweather.exporters.onnx.convert import INPUT, OUTPUT
from allweather.runtimes.errors import EngineError, first_line
from allweather.runtimes.preprocess import LUMA_WEIGHTS
from allweather.runtimes.system.isolated_imports import isolated_imports

with isolated_imports():
    import openvino
    from openvino import opset8 as ops

TYPES = {"float32": np.float32, "float16": np.float16, "uint8": np.uint8}


def wrap_ir(
    model: openvino.Model, logits: openvino.Output, taken: ModelInput, where: str, *, is_probability: bool
) -> openvino.Model:
    """Returns the model with the input `images` and the output `logits`; the batch is dynamic if the graph allows it.

    Args:
        model: The model; it is changed.
        logits: Its output that holds the logits.
        taken: What it takes.
        where: Name of the file, for messages.
        is_probability: Whether that output holds probabilities, as a Softmax of other operators gives them; their
            logarithm is then the logits.

    Raises:
        EngineError: The graph does not take such images.
    """
    spec, parameter = taken.spec, model.get_parameters()[0]
    images = ops.parameter([-1, spec.height, spec.width, 3], np.uint8, name=INPUT)
    images.output(0).get_tensor().set_names({INPUT})
    value = images
    if taken.element != "uint8" or taken.gray:
        value = ops.convert(value, "f32")
    if taken.element != "uint8":
        value = ops.subtract(value, ops.constant(255 * np.array(spec.mean, np.float32)))
        value = ops.divide(value, ops.constant((255 * np.array(spec.std) / taken.pixels).astype(np.float32)))
    if taken.gray:
        value = ops.matmul(value, ops.constant(np.array(LUMA_WEIGHTS, np.float32)[:, None]), False, False)
        value = ops.round(value, "half_to_even") if taken.element == "uint8" else value
    elif taken.channels == "bgr":
        value = ops.gather(value, ops.constant(np.array([2, 1, 0])), ops.constant(np.array(3)))
    if taken.layout == "nchw":
        value = ops.transpose(value, ops.constant(np.array([0, 3, 1, 2])))
    if taken.element == "float16" or (taken.element == "uint8" and taken.gray):
        value = ops.convert(value, {"float16": "f16", "uint8": "u8"}[taken.element])
    outputs = logits.get_partial_shape()
    parameter.output(0).replace(value.output(0))
    result = logits.get_node().output(logits.get_index())
    if outputs.rank.is_static and len(outputs) > 2:
        result = ops.reshape(result, ops.constant(np.array([0, -1])), True).output(0)
    if logits.get_element_type() != openvino.Type.f32:
        result = ops.convert(result, "f32").output(0)
    if is_probability:
        result = ops.log(ops.add(result, ops.constant(np.array(FLOOR, np.float32)))).output(0)
    if outputs.rank.is_static and len(outputs) > 1 and outputs[1] == openvino.Dimension(1):
        result = ops.multiply(result, ops.constant(np.array([[0, 1]], np.float32))).output(0)
    result.get_tensor().set_names({OUTPUT})
    wrapped: openvino.Model | None = None
    errors = []
    for batch in (-1, 1):  # a Reshape to a fixed batch allows only that one
        try:
            images.set_partial_shape(openvino.PartialShape([batch, spec.height, spec.width, 3]))
            wrapped = openvino.Model([ops.result(result)], [images], "classifier")
            break
        except RuntimeError as error:
            errors.append(first_line(error))
    if wrapped is None:
        raise EngineError(
            f"{where} does not take images {taken.sentence()} ({errors[-1]}); name its --layout and --size"
        )
    return wrapped
