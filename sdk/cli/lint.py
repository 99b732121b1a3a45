"""allweather lint."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from allweather.cli.console import handle_errors, out, print_result, to_json
from allweather.cli.options import AsJson
from allweather.runtimes.errors import EngineError


@handle_errors
def lint(
    model: Annotated[Path, typer.Argument(help="ONNX file; those of a bundle are in its folder onnx/.")],
    as_json: AsJson = False,
) -> None:
    """Lists what keeps TensorRT from running an ONNX file in INT8, node by node.

    The exit code is 1 if there is an error.

    A layer without Q/DQ nodes runs in float. It is listed, but is an error only if all layers are so.
    """
    from allweather.exporters.lint import lint as lint_model
    from allweather.exporters.lint import load_onnx

    report = lint_model(load_onnx(model))
    if as_json:
        counts = {
            "int8": report.int8_layers,
            "float": len(report.float_layers),
            "qdq_nodes": report.qdq_nodes,
            "errors": len(report.errors),
        }
        lists = {"float_layers": list(report.float_layers), "findings": to_json(report.findings)}
        print_result({"file": str(model), **counts, **lists}, True, "lint")
    else:
        if report.findings:
            out.print(findings_table(to_json(report.findings)))
        verb = "would run in INT8 without the errors" if report.errors else "run in INT8"
        layers = report.int8_layers + len(report.float_layers)
        out.print(f"{report.int8_layers} of {layers} Conv, Gemm and MatMul layers {verb}")
        if report.float_layers:
            out.print(f"in float: {', '.join(report.float_layers)}")
    if not report.qdq_nodes:
        raise EngineError(f"{model} has no Q/DQ nodes, so nothing in it runs in INT8; quantize it: allweather export")
    if report.errors:
        count, first = len(report.errors), report.errors[0]
        raise EngineError(
            f"{model} has {count} error{'s' * (count > 1)} that keep{'s' * (count == 1)} it from running in INT8, "
            f"the first at {first.node}: {first.text} {first.cure}"
        )


def findings_table(findings: list[dict[str, str]]) -> object:
    """Returns a table with a row for each finding, errors first."""
    from rich.table import Table
    from rich.text import Text

    table = Table(show_lines=True)
    for header in ("", "rule", "node", "what", "cure"):
        table.add_column(header, overflow="fold")
    for finding in findings:
        color = "red" if finding["severity"] == "error" else "yellow"
        cells = (finding[key] for key in ("rule", "node", "text", "cure"))
        table.add_row(Text(finding["severity"], color), *cells)
    return table
