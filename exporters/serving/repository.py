"""From a bundle to the model repository of a server: `serving_<layout>.py` knows its files, this writes them.

A repository that is there already gets one version more, so that a server rolls over to it, and back.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from allweather.exporters.choices import ServerLayout as ServerLayout
from allweather.exporters.serving import ovms, triton
from allweather.exporters.serving.models import ServedModel, networks
from allweather.runtimes.bundle.bundle import Bundle
from allweather.runtimes.bundle.manifest import EngineName, Precision, Role
from allweather.runtimes.errors import OutputError, map_write_errors
from allweather.runtimes.system.atomic_files import atomic_folder

LAYOUTS = {"triton": triton, "ovms": ovms}
MARKER = "allweather.json"  # neither server reads it: they look into folders, and config.json


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Shape(_Strict):
    """What every version of one network takes and answers with; clients rely on it."""

    role: Role
    height: int
    width: int
    labels: tuple[str, ...]


class Version(_Strict):
    """Where the network of one role and version comes from."""

    role: Role
    version: Annotated[int, Field(ge=1)]
    engine: EngineName
    precision: Precision
    sha256: str


class Repository(_Strict):
    """What a repository says of itself, in `allweather.json`."""

    format: Literal["allweather-serving"] = "allweather-serving"
    layout: ServerLayout
    shapes: tuple[Shape, ...]
    versions: tuple[Version, ...]

    @property
    def newest(self) -> int:
        """Number of the last version written."""
        return max((each.version for each in self.versions), default=0)


def write_repository(
    bundle: Bundle, layout: ServerLayout, out: Path, *, engine: str | None = None, precision: str | None = None
) -> Repository:
    """Writes a bundle as a model repository, whole or not at all.

    Args:
        bundle: opened.
        layout: of which server.
        out: folder to write. Where it holds a repository of the same networks, their next version is added.
        engine: whose model to serve; None for the layout's first that the bundle has.
        precision: of the classifier; None for the one that the bundle prefers.

    Returns:
        What was written, with the versions from before.

    Raises:
        EngineError: the bundle has nothing that this server runs.
        BundleError: a label cannot be written, or the bundle was changed meanwhile.
        OutputError: the place is taken by something else or by other networks, or cannot be written.
    """
    module = LAYOUTS[layout]
    served = networks(bundle, module.ENGINES, engine, precision, layout)
    shapes = tuple(
        Shape(role=each.role, height=each.input.height, width=each.input.width, labels=each.labels) for each in served
    )
    before = _there(out)
    if before and (before.layout, before.shapes) != (layout, shapes):
        raise OutputError(
            f"cannot write {out}: it serves networks of another layout, size or labels, which clients rely on; name a "
            "new folder"
        )
    version = before.newest + 1 if before else 1
    after = Repository(
        layout=layout,
        shapes=shapes,
        versions=(*(before.versions if before else ()), *(_version(bundle, each, version) for each in served)),
    )
    with atomic_folder(out, MARKER) as beside:
        if before:
            shutil.copytree(out, beside, dirs_exist_ok=True)
        for name, content in {
            MARKER: after.model_dump_json(indent=1).encode(),
            **module.repository(served, version),
        }.items():
            place = beside / name
            (place if name.endswith("/") else place.parent).mkdir(parents=True, exist_ok=True)
            if not name.endswith("/"):
                place.write_bytes(content)
    return after


def _there(out: Path) -> Repository | None:
    """The repository that is there already."""
    marker = out / MARKER
    with map_write_errors(out):
        if not marker.is_file():
            return None
        text = marker.read_bytes()
    try:
        return Repository.model_validate_json(text, strict=True)
    except ValidationError as error:
        raise OutputError(f"cannot write {out}: its {MARKER} is damaged; name a new folder") from error


def _version(bundle: Bundle, served: ServedModel, version: int) -> Version:
    model = served.model
    return Version(
        role=served.role,
        version=version,
        engine=model.engine,
        precision=model.precision,
        sha256=bundle.manifest.files[model.file].sha256,
    )
