"""Writes a bundle as the model repository of a server; `triton.py` and `ovms.py` say which files it has.

A repository that exists already gets the models as a new version, so that a server can switch to it, and back.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from allweather.exporters.choices import ServerLayout as ServerLayout
from allweather.exporters.serving import ovms, triton
from allweather.exporters.serving.models import ServedModel, models_to_serve
from allweather.runtimes.bundle.bundle import Bundle
from allweather.runtimes.bundle.manifest import EngineName, Precision, Role
from allweather.runtimes.bundle.output_path import check_outside_bundles
from allweather.runtimes.errors import OutputError, check_choice, map_write_errors
from allweather.runtimes.setting_types import check_instance
from allweather.runtimes.system.atomic_files import atomic_folder
from allweather.runtimes.system.output_lock import output_lock
from allweather.runtimes.system.path_argument import as_path

LAYOUTS = {"triton": triton, "ovms": ovms}
MARKER = "allweather.json"  # for us only: the servers read the folders of models and config.json


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Shape(_Strict):
    """Input size and labels of one model; every version keeps them, because clients rely on them.

    Attributes:
        role: Role of the model.
        height: Height of its images in pixels.
        width: Width of its images in pixels.
        labels: Names of its outputs, in their order.
    """

    role: Role
    height: int
    width: int
    labels: tuple[str, ...]


class Version(_Strict):
    """Origin of one version of a model.

    Attributes:
        role: Role of the model.
        version: Its version in the repository, at least 1.
        engine: Engine it was exported for.
        precision: Its precision.
        sha256: Hash of its graph file, as the bundle records it.
    """

    role: Role
    version: Annotated[int, Field(ge=1)]
    engine: EngineName
    precision: Precision
    sha256: str


class Repository(_Strict):
    """Content of `allweather.json`, in which a repository records its models.

    Attributes:
        format: Always "allweather-serving".
        layout: Server that the repository is for.
        shapes: Input size and labels of each model.
        versions: Origin of every version that was written.
    """

    format: Literal["allweather-serving"] = "allweather-serving"
    layout: ServerLayout
    shapes: tuple[Shape, ...]
    versions: tuple[Version, ...]

    @property
    def newest(self) -> int:
        """The latest version; 0 if there is none."""
        return max((each.version for each in self.versions), default=0)


def write_repository(
    bundle: Bundle, layout: ServerLayout, out: Path | str, *, engine: str | None = None, precision: str | None = None
) -> Repository:
    """Writes a bundle as a model repository, completely or not at all.

    Args:
        bundle: An open bundle.
        layout: Server to write for, "triton" or "ovms".
        out: Folder to write. If it, or the folder that a link leads to, holds a repository of models with the same
            input and labels, a version is added.
        engine: Engine whose models to serve; None for the server's preferred one among those in the bundle.
        precision: Precision of the classifier; None for the one that the bundle prefers.

    Returns:
        The repository's record, with the earlier versions.

    Raises:
        EngineError: The bundle has no model that this server runs.
        BundleError: A label cannot be written, or the bundle was changed meanwhile.
        UsageError: `out` is a bundle, or lies in one; or an argument is of another type or none of the names.
        OutputError: `out` holds something else, or other models, is being written, or cannot be written.
    """
    out = as_path(out)
    check_instance("bundle", bundle, Bundle, "Bundle.open(path) opens one")
    check_choice("layout", layout, ServerLayout)
    if engine is not None:
        check_choice("engine", engine, EngineName)
    if precision is not None:
        check_choice("precision", precision, Precision)
    out = Path(os.path.realpath(out))  # a version is added to the repository that a server reads
    check_outside_bundles(out)
    module = LAYOUTS[layout]
    served = models_to_serve(bundle, module.ENGINES, engine, precision, layout)
    shapes = tuple(
        Shape(role=model.role, height=model.input.height, width=model.input.width, labels=model.labels)
        for model in served
    )
    with output_lock(out, is_own=True):  # of two that add a version at once, one would be lost
        before = _existing(out)
        if before and (before.layout, before.shapes) != (layout, shapes):
            raise OutputError(
                f"cannot write {out}: it holds models of another layout, image size or labels, which clients rely on; "
                "name a new folder"
            )
        version = before.newest + 1 if before else 1
        after = Repository(
            layout=layout,
            shapes=shapes,
            versions=(*(before.versions if before else ()), *(_version(bundle, model, version) for model in served)),
        )
        with atomic_folder(out, MARKER) as beside:
            if before:
                shutil.copytree(out, beside, dirs_exist_ok=True)
            for name, content in {
                MARKER: after.model_dump_json(indent=1).encode(),
                **module.repository(served, version),
            }.items():
                path = beside / name
                (path if name.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
                if not name.endswith("/"):
                    path.write_bytes(content)
    return after


def _existing(out: Path) -> Repository | None:
    """Returns the record of the repository that `out` holds already; None if it holds none."""
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
