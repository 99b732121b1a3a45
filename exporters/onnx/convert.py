"""From a network to an ONNX graph: uint8 NHWC in, logits or losses out, any batch size, all weights inside."""

from __future__ import annotations

import copy
import io
import re
import warnings
from contextlib import redirect_stderr

import onnx
import torch
from torch import Tensor, nn

from allweather.runtimes.errors import EngineError, first_line
from allweather.runtimes.preprocess import InputSpec
from allweather.trainers.quiet_loggers import silenced

OPSET = 18  # TensorRT 10.3 and OpenVINO 2024 read it
LIMIT = 2**31 - 1  # bytes: protobuf's, and so ONNX's without external data
INPUT, OUTPUT = "images", "logits"


class DeployedModel(nn.Module):
    """A network as the device calls it: pixels in, no preparation left to the caller."""

    def __init__(self, model: nn.Module, arithmetic: torch.dtype) -> None:
        super().__init__()
        self.model, self.arithmetic = model.to(arithmetic), arithmetic

    def forward(self, images: Tensor) -> Tensor:
        """uint8 [n, h, w, 3], RGB -> float32 [n, outputs]."""
        pixels = images.to(self.arithmetic)  # first: TensorRT takes uint8 for an input, but transposes none
        out: Tensor = self.model(pixels.permute(0, 3, 1, 2) / 255)
        return out.to(torch.float32)


def to_onnx(model: nn.Module, spec: InputSpec, arithmetic: torch.dtype = torch.float32) -> bytes:
    """Exports and checks a graph.

    Args:
        model: float [n, 3, h, w] in 0..1 -> float [n, outputs], in eval mode.
        spec: the size of its pictures.
        arithmetic: torch.float32, or torch.float16 for a graph whose every tensor is of that type, as a strongly typed
            TensorRT network wants it.

    Returns:
        The content of an .onnx file: input `images` uint8 [n, h, w, 3], output `logits` float32 [n, C].

    Raises:
        EngineError: the network has an operation that ONNX has not, or is larger than one file can be.
    """
    example = torch.zeros(2, spec.height, spec.width, 3, dtype=torch.uint8)
    quiet = silenced("torch", "torch.onnx", "onnxscript", "onnx_ir")
    with warnings.catch_warnings(), quiet, redirect_stderr(io.StringIO()):  # torch prints graphs that it cannot export
        warnings.simplefilter("ignore")  # deprecations inside the exporter and the libraries it calls
        try:
            program = torch.onnx.export(
                DeployedModel(copy.deepcopy(model), arithmetic).eval(),
                (example,),
                input_names=[INPUT],
                output_names=[OUTPUT],
                opset_version=OPSET,
                dynamic_shapes={"images": {0: torch.export.Dim("n", min=1)}},
                dynamo=True,
                verbose=False,
            )
        except (torch.onnx.OnnxExporterError, RuntimeError) as error:
            raise EngineError(f"the network cannot be exported to ONNX: {_cause(error)}") from error
    assert program is not None  # dynamo=True always returns one
    graph = program.model_proto
    if graph.ByteSize() > LIMIT:
        raise EngineError(f"the graph takes {graph.ByteSize()} bytes; one ONNX file holds at most {LIMIT}")
    _forget_origin(graph)
    onnx.checker.check_model(graph, full_check=True)
    buffer = io.BytesIO()
    onnx.save_model(graph, buffer)
    return buffer.getvalue()


def _cause(error: BaseException) -> str:
    """What lies at the bottom of torch's long texts, and what to do."""
    deepest = error
    while deepest.__cause__ is not None:
        deepest = deepest.__cause__
    if operation := re.search(r"op='([\w.:]+)'", str(deepest)):
        return f"it has the operation {operation[1]}, which ONNX has not; compute that of others"
    if "data-dependent" in str(deepest):
        return "which way it goes depends on a picture's values (an `if` on a tensor); use torch.where"
    return first_line(deepest)


def _forget_origin(model: onnx.ModelProto) -> None:
    """Removes the exporter's notes: stack traces with folders of this machine, a tenth of a small file."""
    del model.metadata_props[:]
    graph = model.graph
    for part in (graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        del part.metadata_props[:]
