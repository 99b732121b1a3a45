"""What a lint rule says of a graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from onnx import NodeProto

from allweather.exporters.lint.qdq_graph import one_line, title

Severity = Literal["error", "advice"]


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or could be faster.

    Attributes:
        rule: its name, such as "zero-point".
        severity: error where an engine refuses the graph, computes something else, or leaves INT8 without a word;
            advice where it is slower than it could be.
        node: where: the node's name, or what it makes where it has none.
        text: what is wrong, continuing "the node ...".
        cure: what to do.
    """

    rule: str
    severity: Severity
    node: str
    text: str
    cure: str


def error(rule: str, node: NodeProto, text: str, cure: str) -> Finding:
    """A finding that keeps the graph from running in INT8, or from running."""
    return Finding(rule, "error", title(node), one_line(text), one_line(cure))


def advice(rule: str, node: NodeProto, text: str, cure: str) -> Finding:
    """A finding that costs time only."""
    return Finding(rule, "advice", title(node), one_line(text), one_line(cure))
