"""Looks through any ONNX file for what keeps TensorRT from running its Q/DQ graph in INT8."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import onnx.inliner
from google.protobuf.message import DecodeError
from onnx import ModelProto

from allweather.exporters.lint import layer_rules, qdq_rules
from allweather.exporters.lint.finding import Finding
from allweather.exporters.lint.qdq_graph import Layer, graphs, title
from allweather.runtimes.errors import EngineError, first_line

LIMIT = 2**31 - 1  # bytes: protobuf's
RULES = (
    qdq_rules.external_data,
    qdq_rules.opset,
    qdq_rules.qoperator,
    qdq_rules.integer_type,
    qdq_rules.zero_point,
    qdq_rules.scale_value,
    qdq_rules.activation_scale,
    qdq_rules.lone,
    qdq_rules.wide_bias,
    layer_rules.half_quantized,
    layer_rules.weight_scales,
    layer_rules.narrow_bias,
    layer_rules.transposed,
    layer_rules.few_channels,
    layer_rules.matrix_vector,
    layer_rules.batch_norm,
    layer_rules.split_activation,
    layer_rules.residual,
)


@dataclass(frozen=True)
class Report:
    """What was found in a graph.

    Attributes:
        findings: errors first, each kind in the order of the graph.
        int8: Conv, ConvTranspose, Gemm and MatMul that run in INT8, once nothing else keeps TensorRT from the graph.
        floats: names of the others.
        pairs: QuantizeLinear and DequantizeLinear nodes.
    """

    findings: tuple[Finding, ...]
    int8: int
    floats: tuple[str, ...]
    pairs: int

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that are errors."""
        return tuple(finding for finding in self.findings if finding.severity == "error")


def lint(model: ModelProto) -> tuple[Finding, ...]:
    """All that the rules find in a model, errors first; see `report`."""
    return report(model).findings


def report(model: ModelProto) -> Report:
    """Looks at the graph of a model, the functions it calls, and the branches and bodies inside it.

    Raises:
        EngineError: a tensor that a rule needs is damaged.
    """
    if model.functions:
        model = _inlined(model)
    found = graphs(model)
    findings = [finding for rule in RULES for graph in found for finding in rule(graph)]
    layers = [layer for graph in found for layer in graph.layers]
    wrong = {finding.node for finding in findings if finding.severity == "error"}
    floats = tuple(title(layer.node) for layer in layers if not _runs_in_int8(layer, wrong))
    return Report(
        findings=tuple(sorted(findings, key=lambda finding: finding.severity != "error")),
        int8=len(layers) - len(floats),
        floats=floats,
        pairs=sum(len(graph.pairs) for graph in found),
    )


def load(path: Path) -> ModelProto:
    """Reads an .onnx file; tensors that lie in other files are not looked for.

    Raises:
        EngineError: it is missing, too large, or no ONNX file.
    """
    if path.is_dir():
        inside = sorted(str(file.relative_to(path)) for file in path.glob("onnx/*.onnx"))
        instead = f"this bundle has {', '.join(inside)}" if inside else "name one"
        raise EngineError(f"lint takes an .onnx file; {path} is a folder: {instead}")
    if not path.is_file():  # a pipe would keep us waiting
        raise EngineError(f"no file {path}; lint takes an .onnx file")
    if path.suffix == ".safetensors":
        raise EngineError(
            f"lint takes an .onnx file; {path} is a checkpoint: lint what 'allweather export' makes of it"
        )
    if path.stat().st_size > LIMIT:
        raise EngineError(f"{path} has {path.stat().st_size} bytes; an ONNX file holds at most {LIMIT}")
    model = ModelProto()
    try:
        model.ParseFromString(path.read_bytes())
    except DecodeError as error:
        raise EngineError(f"{path} is no ONNX file, or a damaged one ({first_line(error)}); export it again") from error
    if not model.graph.node or not any(entry.domain in ("", "ai.onnx") for entry in model.opset_import):
        raise EngineError(f"{path} is no ONNX file, or a damaged one: it has no graph or no opset; export it again")
    return model


def _inlined(model: ModelProto) -> ModelProto:
    """The same model without functions: their nodes stand where they are called."""
    try:
        inlined: ModelProto = onnx.inliner.inline_local_functions(model)
    except (RuntimeError, ValueError) as error:
        raise EngineError(f"the functions of the model cannot be put in place: {first_line(error)}") from error
    return inlined


def _runs_in_int8(layer: Layer, wrong: set[str]) -> bool:
    """Whether both operands come from pairs that nothing is wrong with. TensorRT-RTX 1.7 has no INT8 ConvTranspose."""
    if not layer.quantized or layer.node.op_type == "ConvTranspose":
        return False
    parts = [layer.node, *(node for pair in layer.operands if pair for node in (pair.q, pair.dq) if node is not None)]
    return not any(title(node) in wrong for node in parts)
