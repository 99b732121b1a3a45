"""allweather lint."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from allweather.cli.console import guarded, out, plain, result
from allweather.cli.options import AsJson
from allweather.runtimes.errors import EngineError


@guarded
def lint(
    model: Annotated[Path, typer.Argument(help="any .onnx file; a bundle has its own under onnx/")],
    as_json: AsJson = False,
) -> None:
    """Says what keeps TensorRT from running an ONNX file in INT8, node by node; fails if anything does.

    A layer without any Q/DQ pair runs in float; it is named, but is no error unless all are so.
    """
    from allweather.exporters.lint import lint as lint_model
    from allweather.exporters.lint import load_onnx

    report = lint_model(load_onnx(model))
    if as_json:
        counts = {
            "int8": report.int8_layers,
            "float": len(report.float_layers),
            "pairs": report.qdq_nodes,
            "errors": len(report.errors),
        }
        lists = {"float_layers": list(report.float_layers), "findings": plain(report.findings)}
        result({"file": str(model), **counts, **lists}, True, "lint")
    else:
        if report.findings:
            out.print(findings_table(plain(report.findings)))
        verb = "would run in INT8, were the errors mended" if report.errors else "run in INT8"
        layers = report.int8_layers + len(report.float_layers)
        out.print(f"{report.int8_layers} of {layers} Conv, Gemm and MatMul {verb}", highlight=False)
        if report.float_layers:
            out.print(f"in float: {', '.join(report.float_layers)}", highlight=False, markup=False)
    if not report.qdq_nodes:
        raise EngineError(f"{model} has no Q/DQ pairs, so nothing in it runs in INT8; quantize it: allweather export")
    if report.errors:
        count = len(report.errors)
        first = report.errors[0]
        raise EngineError(
            f"{model} has {count} error{'s' * (count > 1)} that keep{'s' * (count == 1)} INT8 from it, "
            f"the first at {first.node}: {first.text} {first.cure}"
        )


def findings_table(findings: list[dict[str, str]]) -> object:
    """One row a finding, errors first."""
    from rich.table import Table

    table = Table(show_lines=True)
    for head in ("", "rule", "node", "what", "cure"):
        table.add_column(head, overflow="fold")
    for row in findings:
        color = "red" if row["severity"] == "error" else "yellow"
        cells = (row[key].replace("[", r"\[") for key in ("rule", "node", "text", "cure"))
        table.add_row(f"[{color}]{row['severity']}[/{color}]", *cells)
    return table
