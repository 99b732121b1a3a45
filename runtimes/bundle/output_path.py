"""Whether a bundle may take a path: what would be deleted there must be a bundle, and nothing else."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from allweather.runtimes.bundle.manifest import MANIFEST, MAX_MANIFEST_BYTES
from allweather.runtimes.errors import OutputError, UsageError, map_write_errors
from allweather.runtimes.system.atomic_files import check_file, check_folder
from allweather.runtimes.system.hidden_names import HIDDEN_NAMES
from allweather.runtimes.system.path_argument import as_path, real_path
from allweather.runtimes.text import printable

FORMAT = "allweather-bundle"


def check_bundle_path(path: Path | str, *, made_of: Path | str | None = None) -> None:
    """Checks that a bundle can be written to a path, before minutes are spent on its content.

    Args:
        path: Where the bundle is to be written.
        made_of: The bundle that it is made of; None if there is none.

    Raises:
        UsageError: The new bundle would replace the one that it is made of, or lie in a bundle.
        OutputError: Something else is at the path, or it cannot be written.
    """
    path = as_path(path)
    if made_of is not None:
        _check_apart(path, as_path(made_of))
    check_outside_bundles(path, is_bundle=True)
    if path.suffix == ".zip":
        check_file(path)
    else:
        check_folder(path, MANIFEST)
    check_replaceable(path)


def check_outside_bundles(path: Path | str, option: str = "--out", *, is_bundle: bool = False) -> None:
    """Checks that a file or folder is not written into a bundle, which holds only what its manifest lists.

    Args:
        path: The file or folder.
        option: The option that names it, for the message.
        is_bundle: Whether it is a bundle, which may replace another one.

    Raises:
        UsageError: It is a bundle that is not to be replaced, or lies in one.
    """
    path = real_path(path)
    for folder in path.parents if is_bundle else (path, *path.parents):
        with suppress(OSError):
            if (folder / MANIFEST).is_file() and _folder_manifest(folder).get("format") == FORMAT:
                where = "is" if folder == path else "lies in"
                raise UsageError(
                    f"{path} {where} the bundle {folder}, which holds only its own files; name another {option}"
                )


def _check_apart(path: Path, made_of: Path) -> None:
    """Checks that a bundle is not written over, or into, the one that it is made of."""
    if real_path(path) == real_path(made_of):
        raise UsageError(f"the new bundle cannot replace {path}, from which it is made; name another --out")
    if real_path(path).is_relative_to(real_path(made_of)):
        raise UsageError(f"the new bundle would lie in {made_of}, from which it is made; name another --out")


def check_replaceable(path: Path) -> None:
    """Checks that a bundle may be written to a path.

    Many programs have a manifest.json of their own, and people keep other files in the folder of a bundle.

    Raises:
        OutputError: A folder with a manifest.json is there that is no bundle, or a bundle with other files in it; or
            a .zip file that is no bundle.
    """
    with map_write_errors(path):
        if path.suffix == ".zip":
            if path.is_file() and path.stat().st_size and _zip_manifest(path).get("format") != FORMAT:
                raise OutputError(f"cannot write {path}: it exists and is no bundle; remove it, or name a new file")
            return
        if not (path / MANIFEST).is_file():
            return  # atomic_folder takes an empty folder alone
        manifest = _folder_manifest(path)
        if manifest.get("format") != FORMAT:
            raise OutputError(f"cannot write {path}: its {MANIFEST} is not that of a bundle; name a new folder")
        listed = manifest.get("files")
        known = {MANIFEST, *(listed if isinstance(listed, dict) else ())}
        other = next((each for each in _files(path) if each not in known), None)
    if other is not None:
        raise OutputError(
            f"cannot write {path}: beside the bundle it holds {printable(other)}, which would be deleted; move that "
            "away, or name a new folder"
        )


def _files(folder: Path) -> Iterator[str]:
    """Yields the files of a folder by their path in it, without those that systems leave there by themselves."""
    for file in sorted(folder.rglob("*")):
        name = file.name
        left_by_system = name == ".DS_Store" or name.startswith("._") or name.lower() in HIDDEN_NAMES
        if not left_by_system and (file.is_symlink() or not file.is_dir()):
            yield file.relative_to(folder).as_posix()


def _folder_manifest(folder: Path) -> dict[str, Any]:
    with (folder / MANIFEST).open("rb") as file:
        return _parsed(file.read(MAX_MANIFEST_BYTES))


def _zip_manifest(path: Path) -> dict[str, Any]:
    try:
        with zipfile.ZipFile(path) as archive, archive.open(MANIFEST) as file:
            return _parsed(file.read(MAX_MANIFEST_BYTES))
    except (KeyError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError):
        return {}  # without a manifest, damaged, compressed in another way, or encrypted


def _parsed(text: bytes) -> dict[str, Any]:
    """Returns the JSON object of a text; an empty one if it is none."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
