"""Finds what keeps TensorRT from running an ONNX graph in INT8."""

from allweather.exporters.lint.finding import Finding, Severity
from allweather.exporters.lint.lint import RULES, LintReport, lint, load_onnx

__all__ = ["RULES", "Finding", "LintReport", "Severity", "lint", "load_onnx"]
