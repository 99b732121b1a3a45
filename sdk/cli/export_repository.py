"""allweather export BUNDLE --layout."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from allweather.cli.console import result, say
from allweather.runtimes.errors import UsageError


class LayoutChoice(str, Enum):
    """Servers that a repository is written for."""

    triton = "triton"
    ovms = "ovms"


Layout = Annotated[
    LayoutChoice | None,
    typer.Option(help="of a BUNDLE: write a model repository for Triton or the OpenVINO Model Server"),
]


def is_bundle(path: Path) -> bool:
    """Whether it looks like a bundle, whole or not: a folder or a .zip, where a checkpoint is another file."""
    return path.is_dir() or path.suffix == ".zip"


def export_layout(
    source: Path,
    layout: LayoutChoice | None,
    out: Path,
    *,
    engines: Sequence[str],
    precisions: Sequence[str],
    idle: Sequence[str],
    as_json: bool,
) -> None:
    """Writes the bundle `source` as a model repository.

    Args:
        source: what was named to be exported.
        layout: asked for; None where it was not.
        out: folder to write.
        engines: that were chosen.
        precisions: that were chosen.
        idle: options that were given and have nothing to do here.
        as_json: whether the result is one JSON object.

    Raises:
        UsageError: it is a checkpoint, no layout is asked for, or options do not go with it.
        BundleError: it is no bundle.
        EngineError: the bundle has nothing that this server runs.
        OutputError: the place is taken or cannot be written to.
    """
    from allweather.exporters.serving.repository import write_repository
    from allweather.runtimes.bundle.bundle import Bundle

    if layout is None:
        raise UsageError(f"{source} is a bundle already; add --layout triton or ovms, or name a checkpoint")
    if source.suffix == ".safetensors":
        raise UsageError(f"--layout takes a bundle; export {source} without it first, and then the bundle")
    if idle:
        raise UsageError(f"--layout writes what is in the bundle and needs no {idle[0]}; leave it out")
    if out.suffix == ".zip":
        raise UsageError(f"--layout writes a folder, as servers read one; got {out}: name it without .zip")
    if len(engines) > 1 or len(precisions) > 1:
        raise UsageError("--layout serves one model for each role; give --engine and --precision once at most")
    bundle = Bundle.open(source)
    engine, precision = (next(iter(chosen), None) for chosen in (engines, precisions))
    written = write_repository(bundle, layout.value, out, engine=engine, precision=precision)
    newest = [each for each in written.versions if each.version == written.newest]
    models: dict[str, str] = {each.role: f"{each.engine} {each.precision}" for each in newest}
    result({"repository": str(out), "layout": layout.value, "version": written.newest, **models}, as_json, "exported")
    if not as_json:
        say("docs/serving.md says how to start the server, and samples/ask_server.py how to ask it")
