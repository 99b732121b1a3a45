"""Lints an ONNX file: finds what keeps TensorRT from running its Q/DQ graph in INT8."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import onnx.checker
import onnx.inliner
from google.protobuf.message import DecodeError
from onnx import ModelProto

from allweather.exporters.lint import layer_rules, qdq_rules
from allweather.exporters.lint.finding import Finding
from allweather.exporters.lint.qdq_graph import Layer, all_graphs, display_name
from allweather.runtimes.errors import EngineError, first_line
from allweather.runtimes.system.path_argument import as_path

MAX_FILE_BYTES = 2**31 - 1  # protobuf's limit
RULES = (
    qdq_rules.external_data,
    qdq_rules.opset,
    qdq_rules.qoperator,
    qdq_rules.integer_type,
    qdq_rules.zero_point,
    qdq_rules.scale_value,
    qdq_rules.activation_scale,
    qdq_rules.unpaired,
    qdq_rules.int32_bias,
    layer_rules.half_quantized,
    layer_rules.weight_scales,
    layer_rules.int8_bias,
    layer_rules.conv_transpose,
    layer_rules.few_channels,
    layer_rules.matrix_vector,
    layer_rules.batch_norm,
    layer_rules.split_activation,
    layer_rules.residual,
)


@dataclass(frozen=True)
class LintReport:
    """Result of linting a model.

    Attributes:
        findings: Errors first, then advice; each in the order of `RULES`, and for one rule in the order of the graph.
        int8_layers: Number of Conv, ConvTranspose, Gemm and MatMul nodes that run in INT8, provided that TensorRT
            accepts the rest of the graph.
        float_layers: Names of the other nodes of these kinds.
        qdq_nodes: Number of QuantizeLinear and DequantizeLinear nodes.
    """

    findings: tuple[Finding, ...]
    int8_layers: int
    float_layers: tuple[str, ...]
    qdq_nodes: int

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that are errors."""
        return tuple(finding for finding in self.findings if finding.severity == "error")


def lint(model: ModelProto) -> LintReport:
    """Applies all rules to a model: its graph, the functions it calls, and the branches and bodies inside it.

    Raises:
        EngineError: A tensor that a rule needs is damaged.
    """
    if model.functions:
        model = _inline_functions(model)
    graphs = all_graphs(model)
    findings = [finding for rule in RULES for graph in graphs for finding in rule(graph)]
    layers = [layer for graph in graphs for layer in graph.layers]
    faulty = {finding.node for finding in findings if finding.severity == "error"}
    float_layers = tuple(display_name(layer.node) for layer in layers if not _runs_in_int8(layer, faulty))
    return LintReport(
        findings=tuple(sorted(findings, key=lambda finding: finding.severity != "error")),
        int8_layers=len(layers) - len(float_layers),
        float_layers=float_layers,
        qdq_nodes=sum(len(graph.qdq_nodes) for graph in graphs),
    )


def load_onnx(path: Path | str) -> ModelProto:
    """Reads an .onnx file; tensors that are stored in other files are not read.

    Raises:
        EngineError: The file is missing, too large, or no ONNX file.
    """
    path = as_path(path)
    if path.is_dir():
        inside = sorted(str(file.relative_to(path)) for file in path.glob("onnx/*.onnx"))
        instead = f"this bundle has {', '.join(inside)}" if inside else "name the .onnx file"
        raise EngineError(f"lint takes an .onnx file; {path} is a folder: {instead}")
    if not path.is_file():  # reading a pipe would block
        raise EngineError(f"no file {path}; lint takes an .onnx file")
    if path.suffix == ".safetensors":
        raise EngineError(
            f"lint takes an .onnx file; {path} is a checkpoint: lint an .onnx file that 'allweather export' makes"
        )
    if path.stat().st_size > MAX_FILE_BYTES:
        raise EngineError(f"{path} has {path.stat().st_size} bytes; an ONNX file holds at most {MAX_FILE_BYTES}")
    model = ModelProto()
    try:
        model.ParseFromString(path.read_bytes())
    except DecodeError as error:
        raise EngineError(f"{path} is no ONNX file, or a damaged one ({first_line(error)}); export it again") from error
    if not model.graph.node or not any(entry.domain in ("", "ai.onnx") for entry in model.opset_import):
        raise EngineError(f"{path} is no ONNX file, or a damaged one: it has no graph or no opset; export it again")
    return model


def _inline_functions(model: ModelProto) -> ModelProto:
    """Returns the same model without functions: their nodes replace the calls."""
    try:
        inlined: ModelProto = onnx.inliner.inline_local_functions(model)
    except (RuntimeError, ValueError, onnx.checker.ValidationError) as error:  # such as a function that calls itself
        raise EngineError(f"the functions of the model cannot be inlined: {first_line(error)}") from error
    return inlined


def _runs_in_int8(layer: Layer, faulty: set[str]) -> bool:
    """Whether both operands come from pairs without an error. TensorRT-RTX 1.7 has no INT8 ConvTranspose."""
    if not layer.quantized or layer.node.op_type == "ConvTranspose":
        return False
    parts = [layer.node, *(node for pair in layer.operands if pair for node in (pair.q, pair.dq) if node is not None)]
    return not any(display_name(node) in faulty for node in parts)
