"""What an export shows: its steps, and a table of the models that it made."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from allweather.cli.console import err, print_result, progress_bar, say, to_json
from allweather.cli.console import out as stdout

if TYPE_CHECKING:
    from allweather.runtimes.bundle.manifest import Manifest, Model, Rejected
    from allweather.trainers.data.inventory import Inventory

Row: TypeAlias = dict[str, float | str | None]


@contextmanager
def watch_export(command: str = "export") -> Iterator[Callable[[str], None]]:
    """Shows the steps of an export while open; yields the function that is called with each."""
    with progress_bar(command) as update:

        def watch(step: str) -> None:
            update(0, f"{command}: {step}")
            if not err.is_terminal:  # where no progress bar is shown, and the steps take minutes
                say(f"{command}: {step}")

        yield watch


def print_exported(
    manifest: Manifest,
    bundle: Path,
    inventory: Inventory | None,
    *,
    as_json: bool,
    original: str = "torch",
    title: str = "exported",
) -> None:
    """Prints the result of an export on stdout.

    Args:
        manifest: Manifest of the bundle.
        bundle: Its path.
        inventory: Inventory of the data.
        as_json: Whether to print JSON.
        original: What the models were compared with, for the headers.
        title: Title of the table.
    """
    rows = [_row(model, model.forced and f"forced: {model.forced}") for model in manifest.models]
    rejected = [_row(model, model.reason) for model in manifest.rejected]
    values = {
        "bundle": str(bundle),
        "machine": manifest.machine,
        "models": to_json(rows),
        "rejected": to_json(rejected),
    }
    print_result({**values, "inventory": inventory}, as_json, title)
    if not as_json:
        _print_models(rows, rejected, bundle, original)


def _print_models(rows: list[Row], rejected: list[Row], bundle: Path, original: str) -> None:
    stdout.print(parity_table(rows, "in the bundle", original))
    if rejected:
        stdout.print(parity_table(rejected, "rejected", original))
    if any(row["engine"] == "tensorrt" for row in rows):
        say(
            "tensorrt: ONNX Runtime ran these models in its place, node by node, so no time was measured; on the "
            f"device run: allweather build {bundle}"
        )
    for row in (*rows, *rejected):
        if row["note"]:
            stdout.print(f"{row['role']} {row['engine']} {row['precision']}: {row['note']}")


def _row(model: Model | Rejected, note: str) -> Row:
    return {
        "role": model.role,
        "engine": model.engine,
        "precision": model.precision,
        "ms": 1000 * model.seconds[0] if model.seconds else None,
        **model.parity.model_dump(),
        "note": note,
    }


def parity_table(rows: list[Row], title: str, original: str = "torch") -> object:
    """Returns a table with a row for each model, which compares it with the original that it was made from."""
    from rich.table import Table

    what = f"% of {rows[0]['images']} validation images that are read correctly, and as {original} reads them"
    table = Table(title=f"{title}: {what}", title_justify="left")
    table.add_column("", no_wrap=True)
    for header in ("clean", "corrupted", f"as {original}", "logits off by", "ms an image"):
        table.add_column(header, justify="right", width=max(7, *map(len, header.split())))
    originals = {row["role"]: row for row in reversed(rows) if row["role"] != "predictor"}
    for role, row in reversed(originals.items()):
        shares = (_share(row[f"reference_{key}"]) for key in ("accuracy", "corrupted_accuracy"))
        table.add_row(f"{role} {original}", *shares)
    for row in rows:
        table.add_row(
            f"{row['role']} {row['engine']} {row['precision']}",
            *(_share(row[key]) for key in ("accuracy", "corrupted_accuracy", "agreement")),
            f"{row['largest_logit_difference']:.2g}",
            "" if row["ms"] is None else f"{row['ms']:.2f}",
        )
    return table


def _share(value: float | str | None) -> str:
    return "" if value is None else f"{100 * float(value):.2f}"
