"""allweather doctor."""

from __future__ import annotations

from allweather.cli.console import handle_errors, out, print_result, to_json
from allweather.cli.options import AsJson


@handle_errors
def doctor(as_json: AsJson = False) -> None:
    """Lists what this device can run, and how to install what is missing."""
    from allweather.doctor import diagnose

    report = diagnose()
    if as_json:
        print_result(to_json(report), True, "doctor")
        return
    from rich.table import Table
    from rich.text import Text

    table = Table(title=f"allweather on {report.device.line()}", title_justify="left", show_header=False)
    for check in report.checks:
        mark = Text("ok", "green") if check.works else Text("--", "yellow")
        table.add_row(mark, check.name, check.text)
    out.print(table)
