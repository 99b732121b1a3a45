"""From a torch model to an ONNX graph that takes raw pixels, for any batch size, with all weights inside the file."""

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
from allweather.runtimes.system.isolated_imports import isolated_imports
from allweather.trainers.quiet_loggers import silence_loggers

OPSET = 18  # TensorRT 10.3 and OpenVINO 2024 read it
MAX_FILE_BYTES = 2**31 - 1  # the limit of protobuf, and so of ONNX without external data
INPUT, OUTPUT = "images", "logits"


class DeployedModel(nn.Module):
    """The model as it is deployed: it takes uint8 NHWC images and converts and normalizes them inside the graph.

    The caller on the device only resizes the image (`InputSpec.prepare`). The values are scaled to 0..1 here, and the
    model itself subtracts the mean and divides by the standard deviation.

    Args:
        model: float [n, 3, h, w] in 0..1 -> float [n, outputs].
        arithmetic: Data type in which the graph computes.
    """

    def __init__(self, model: nn.Module, arithmetic: torch.dtype) -> None:
        super().__init__()
        self.model, self.arithmetic = model.to(arithmetic), arithmetic

    def forward(self, images: Tensor) -> Tensor:
        """Computes float32 [n, outputs] from uint8 [n, h, w, 3], RGB."""
        # The cast comes before the transpose, because TensorRT takes a uint8 input but does not transpose one.
        pixels = images.to(self.arithmetic)
        out: Tensor = self.model(pixels.permute(0, 3, 1, 2) / 255)
        return out.to(torch.float32)


def to_onnx(model: nn.Module, spec: InputSpec, arithmetic: torch.dtype = torch.float32) -> bytes:
    """Exports a torch model to ONNX and checks the graph.

    The graph takes uint8 NHWC images and normalizes them itself; see `DeployedModel`.

    Args:
        model: Module in eval mode; float [n, 3, h, w] in 0..1 -> float [n, outputs].
        spec: Size of the images.
        arithmetic: torch.float32, or torch.float16 for a graph whose every tensor is of that type, as a strongly typed
            TensorRT network wants it.

    Returns:
        Content of an .onnx file with the input `images`, uint8 [n, h, w, 3], and the output `logits`, float32
        [n, outputs].

    Raises:
        EngineError: The model has an operation that ONNX does not have, or is larger than one file can be.
    """
    example = torch.zeros(2, spec.height, spec.width, 3, dtype=torch.uint8)
    quiet = silence_loggers("torch", "torch.onnx", "onnxscript", "onnx_ir")
    # the exporter imports torch's compiler; and torch prints a graph that it cannot export
    with isolated_imports(), warnings.catch_warnings(), quiet, redirect_stderr(io.StringIO()):
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
            raise EngineError(f"the model cannot be exported to ONNX: {_cause(error)}") from error
    assert program is not None  # dynamo=True always returns one
    graph = program.model_proto
    if graph.ByteSize() > MAX_FILE_BYTES:
        raise EngineError(f"the graph takes {graph.ByteSize()} bytes; one ONNX file holds at most {MAX_FILE_BYTES}")
    _remove_metadata(graph)
    onnx.checker.check_model(graph, full_check=True)
    buffer = io.BytesIO()
    onnx.save_model(graph, buffer)
    return buffer.getvalue()


def _cause(error: BaseException) -> str:
    """Returns in one line the first error of a chain of torch's exceptions, and what to do if that is known."""
    deepest = error
    while deepest.__cause__ is not None:
        deepest = deepest.__cause__
    if operation := re.search(r"op='([\w.:]+)'", str(deepest)):
        return f"it has the operation {operation[1]}, which ONNX does not have; compute it from other operations"
    if "data-dependent" in str(deepest):
        return "its control flow depends on the values of an image (an `if` on a tensor); use torch.where"
    return first_line(deepest)


def _remove_metadata(model: onnx.ModelProto) -> None:
    """Removes the exporter's metadata: stack traces with paths of this machine, which are a tenth of a small file."""
    del model.metadata_props[:]
    graph = model.graph
    for part in (graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        del part.metadata_props[:]
