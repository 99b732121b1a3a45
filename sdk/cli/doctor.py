"""allweather doctor."""

from __future__ import annotations

from allweather.cli.console import guarded, out, plain, result
from allweather.cli.options import AsJson
from allweather.doctor import diagnose


@guarded
def doctor(as_json: AsJson = False) -> None:
    """Says what this device can run, and the command that mends what it cannot."""
    diagnosis = diagnose()
    if as_json:
        result(plain(diagnosis), True, "doctor")
        return
    from rich.table import Table

    table = Table(title=f"allweather on {diagnosis.device.line()}", title_justify="left", show_header=False)
    for finding in diagnosis.findings:
        mark = "[green]ok[/green]" if finding.works else "[yellow]--[/yellow]"
        table.add_row(mark, finding.name, finding.text.replace("[", r"\["))
    out.print(table)
