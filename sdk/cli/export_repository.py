"""allweather export BUNDLE --layout."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from allweather.cli.console import print_result, say
from allweather.exporters.choices import ServerLayout
from allweather.runtimes.errors import UsageError

Layout: TypeAlias = Annotated[
    ServerLayout | None,
    typer.Option(
        help="Write a bundle as a model repository: for Triton Inference Server, or for OpenVINO Model Server (ovms)."
    ),
]


def is_bundle(path: Path) -> bool:
    """Returns whether a path looks like a bundle: a folder or a .zip file, where a checkpoint is another file."""
    return path.is_dir() or path.suffix == ".zip"


def export_repository(
    bundle: Path,
    layout: ServerLayout | None,
    out: Path,
    *,
    engines: Sequence[str],
    precisions: Sequence[str],
    as_json: bool,
) -> None:
    """Writes a bundle as a model repository for a server.

    Args:
        bundle: What the command line names to be exported.
        layout: Server to write for; None if the command line names none.
        out: Folder to write.
        engines: Engines on the command line.
        precisions: Precisions on the command line.
        as_json: Whether to print the result as one JSON object.

    Raises:
        UsageError: `bundle` is a checkpoint, `layout` is None, options do not go with a layout, or `out` lies in a
            bundle.
        BundleError: `bundle` is not a bundle, or a damaged one.
        EngineError: The bundle has no model that this server runs.
        OutputError: `out` holds something else, or cannot be written.
    """
    from allweather.exporters.serving.repository import write_repository
    from allweather.runtimes.bundle.bundle import Bundle

    if layout is None:
        raise UsageError(f"{bundle} is a bundle already; add --layout triton or ovms, or name a checkpoint")
    if bundle.suffix == ".safetensors":
        raise UsageError(f"--layout takes a bundle; export {bundle} without it first, and then the bundle")
    if out.suffix == ".zip":
        raise UsageError(f"--layout writes a folder, as servers read one; got {out}: name it without .zip")
    if len(engines) > 1 or len(precisions) > 1:
        raise UsageError("--layout serves one model for each role; give --engine and --precision at most once")
    engine, precision = (next(iter(names), None) for names in (engines, precisions))
    repository = write_repository(Bundle.open(bundle), layout, out, engine=engine, precision=precision)
    newest = [each for each in repository.versions if each.version == repository.newest]
    models: dict[str, str] = {each.role: f"{each.engine} {each.precision}" for each in newest}
    facts = {"repository": str(out), "layout": layout, "version": repository.newest}
    print_result({**facts, **models}, as_json, "exported")
    if not as_json:
        say("docs/how-to/model-servers.md says how to start the server; samples/ask_server.py sends it images")
