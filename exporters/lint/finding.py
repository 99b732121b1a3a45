"""Findings: what a lint rule reports about a graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from onnx import NodeProto

from allweather.exporters.lint.qdq_graph import display_name, one_line

Severity = Literal["error", "advice"]


@dataclass(frozen=True)
class Finding:
    """One fault of a graph, or one way to make it faster.

    Attributes:
        rule: Name of the rule, such as "zero-point".
        severity: "error" if an engine refuses the graph, computes something else, or silently runs a layer in float;
            "advice" if the graph is slower or less accurate than it could be.
        node: Name of the node, or of the tensor it computes if it has no name.
        text: What the fault is, as one sentence.
        cure: What to do about it, as one sentence.
    """

    rule: str
    severity: Severity
    node: str
    text: str
    cure: str


def error(rule: str, node: NodeProto, text: str, cure: str) -> Finding:
    """Returns a finding that keeps the graph from running in INT8, or from running at all."""
    return Finding(rule, "error", display_name(node), one_line(text), one_line(cure))


def advice(rule: str, node: NodeProto, text: str, cure: str) -> Finding:
    """Returns a finding that costs time or accuracy only."""
    return Finding(rule, "advice", display_name(node), one_line(text), one_line(cure))
