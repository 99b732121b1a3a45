"""Reads an ONNX file of another program, and says in one line why a file cannot be a classifier's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx.checker
from google.protobuf.message import DecodeError
from onnx import TensorProto, inliner, numpy_helper

from allweather.exporters.foreign.external_data import fold_external_data
from allweather.exporters.onnx.convert import MAX_FILE_BYTES
from allweather.exporters.onnx.walk import all_graphs, all_tensors
from allweather.runtimes.errors import EngineError, first_line
from allweather.runtimes.system.path_argument import as_path
from allweather.runtimes.text import printable

MIN_OPSET, MAX_OPSET = 9, 21
FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16)
LANGUAGE_INPUTS = ("input_ids", "attention_mask", "token_type_ids", "position_ids", "past_key_values", "tokens")
DETECTOR_OPERATORS = ("NonMaxSuppression", "RoiAlign", "MaxRoiPool")
QUANTIZED_OPERATORS = ("QuantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "ConvInteger", "MatMulInteger")
# First bytes of files that are no ONNX graph, what they are, and what to do.
OTHER_FILES = (
    (b"PK\x03\x04", "a .zip file, such as weights of torch or a bundle", "name the .onnx file"),
    (b"version https://git-lfs", "a pointer of Git LFS, and not the file itself", "fetch it: git lfs pull"),
    (b"<!DOCTYPE", "a web page", "download the file itself"),
    (b"<html", "a web page", "download the file itself"),
    (b"ORTM", "a model in ONNX Runtime's own format", "name the .onnx file that it was made from"),
    (b"<?xml", "OpenVINO IR", "name it with its suffix .xml, beside its .bin"),
    (b"\x89HDF", "a Keras file (HDF5)", "export it with tf2onnx first"),
)


def read_onnx_file(path: Path | str) -> onnx.ModelProto:
    """Reads an ONNX file with one image input and one output; weights in files beside it are read into the graph.

    Returns:
        The model without external data and local functions, with one graph input, and finite weights.

    Raises:
        EngineError: The file is missing, damaged, too new or too old, needs operators of its own, or is no image
            classifier; the message says what it is and what to do.
    """
    path = as_path(path)
    where = printable(str(path))
    model = _parse(path, where)
    model = without_functions(model, where)
    graph = model.graph
    stored = {tensor.name for tensor in graph.initializer}
    inputs = [each for each in graph.input if each.name not in stored]  # of old files, weights are inputs, too
    del graph.input[:]
    graph.input.extend(inputs)
    _check_kind(model, where)
    _check_operators(model, where)
    fold_external_data(model, path, where)
    _check_weights(model, where)
    return model


def without_functions(model: onnx.ModelProto, where: str) -> onnx.ModelProto:
    """Returns the same model without functions of its own: their nodes replace the calls.

    Raises:
        EngineError: A function calls itself, or is damaged.
    """
    if not model.functions:
        return model
    try:
        inlined: onnx.ModelProto = inliner.inline_local_functions(model)
    except (RuntimeError, ValueError, onnx.checker.ValidationError) as error:
        raise EngineError(f"{where}: its functions cannot be inlined ({first_line(error)}); export it again") from error
    return inlined


def opset_of(model: onnx.ModelProto) -> int:
    """Returns the version of ONNX's own operators that a model uses; 0 if it does not say."""
    return max((each.version for each in model.opset_import if each.domain in ("", "ai.onnx")), default=0)


def _parse(path: Path, where: str) -> onnx.ModelProto:
    if path.is_dir():
        raise EngineError(f"{where} is a folder; name the .onnx file in it")
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise EngineError(f"{where} has {size} bytes; one ONNX file holds at most 2 GB")
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise EngineError(f"{where} is missing; name an .onnx file") from error
    except OSError as error:
        raise EngineError(f"{where} cannot be read: {first_line(error)}") from error
    for magic, kind, cure in OTHER_FILES:
        if content.startswith(magic):
            raise EngineError(f"{where} is {kind}; {cure}")
    model = onnx.ModelProto()
    try:
        model.ParseFromString(content)
    except (DecodeError, RecursionError) as error:
        raise EngineError(f"{where} is damaged, cut off, or no ONNX file; copy or export it again") from error
    if not model.graph.node or not model.graph.output:
        raise EngineError(f"{where} holds no graph, as if it was cut off; copy or export it again")
    opset = opset_of(model)
    if not MIN_OPSET <= opset <= MAX_OPSET:
        raise EngineError(
            f"{where} has opset {opset}, and {MIN_OPSET} to {MAX_OPSET} can be imported; export it again with opset 18"
        )
    return model


def _check_kind(model: onnx.ModelProto, where: str) -> None:
    """Checks that the graph has one input and one output, and names what else it looks like."""
    graph = model.graph
    names = [each.name for each in graph.input]
    if any(word in name for name in names for word in LANGUAGE_INPUTS):
        raise EngineError(f"{where} takes {_names(names)}: it is a language model; name an image classifier")
    operators = {node.op_type for each in all_graphs(graph) for node in each.node}
    outputs = [each.name for each in graph.output]
    ranks = [len(each.type.tensor_type.shape.dim) for each in graph.output if each.type.tensor_type.HasField("shape")]
    if operators & set(DETECTOR_OPERATORS) or any("boxes" in name.lower() for name in outputs) or ranks == [3]:
        raise EngineError(
            f"{where} gives {_names(outputs)}: it looks like an object detector; allweather takes classifiers, whose "
            "output is [n, classes], and runs one on the boxes of a detector of yours"
        )
    if len(names) != 1:
        raise EngineError(
            f"{where} has {len(names)} inputs ({_names(names)}), and a classifier takes one image; "
            "export it again with the others as constants"
        )
    if len(outputs) != 1:
        raise EngineError(
            f"{where} has {len(outputs)} outputs ({_names(outputs)}), and a classifier gives one, [n, classes]; cut it "
            "with onnx.utils.extract_model"
        )
    if quantized := operators & set(QUANTIZED_OPERATORS):
        raise EngineError(
            f"{where} is quantized already ({sorted(quantized)[0]}); name the float model that it was made from"
        )


def _check_operators(model: onnx.ModelProto, where: str) -> None:
    """Checks that all operators are ONNX's own."""
    for graph in all_graphs(model.graph):
        for node in graph.node:
            if node.domain in ("", "ai.onnx"):
                continue
            operator = f"{printable(node.domain[:40])}.{printable(node.op_type[:40])}"
            cure = "export it again with operators of ONNX alone"
            if node.domain == "com.microsoft":
                cure = "it was optimized for ONNX Runtime: name the file that it was made from"
            raise EngineError(f"{where} needs the custom operator {operator}, which no engine here has; {cure}")


def _check_weights(model: onnx.ModelProto, where: str) -> None:
    """Checks that all weights and constants can be read, and that weights are finite."""
    for tensor in all_tensors(model):
        name = printable(tensor.name[:80])
        try:
            values = numpy_helper.to_array(tensor)
        except (ValueError, TypeError, RuntimeError, KeyError, OverflowError) as error:  # KeyError: of no known type
            raise EngineError(f"{where} is damaged: the weight {name} cannot be read; export it again") from error
        if tensor.data_type not in FLOATS:
            continue
        if np.isnan(values.astype(np.float32)).any() or (values.size > 1 and not np.isfinite(values).all()):
            raise EngineError(
                f"{where}: the weight {name} holds NaN or infinity, as after a training that diverged; "
                "name a model of a training that succeeded"
            )


def _names(names: list[str]) -> str:
    shown = ", ".join(printable(name[:40]) for name in names[:4])
    return f"{shown}, ..." if len(names) > 4 else shown
