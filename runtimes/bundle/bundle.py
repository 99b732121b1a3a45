"""The bundle: everything a device needs to decide, in one folder or zip. Opened with distrust, written whole.

It holds `manifest.json`, ONNX graphs, OpenVINO IR and golden frames; no pickle, no compiled engine, nothing outside
itself. Files are handed out as bytes that were checked against their hash, so that what was verified is what runs.
"""

from __future__ import annotations

import hashlib
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from allweather.runtimes.bundle.manifest import (
    MANIFEST,
    MAXIMUM_MANIFEST,
    Manifest,
    Model,
    Role,
    StoredFile,
    parse_manifest,
)
from allweather.runtimes.errors import BundleError, printable
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.system.atomic_files import atomic_file, atomic_folder, check_file, check_folder
from allweather.runtimes.tta.views import VIEWS
from allweather.runtimes.types import Floats

MAXIMUM_RATIO = 50  # weights shrink to a half at best; deflate can hide a gigabyte in a megabyte
MAXIMUM_SLACK = 1 << 20  # bytes that may shrink to nothing: a short text, a dark picture
MAXIMUM_ENTRIES = 2000  # of a zip, read anew for each file; a manifest lists 1000 at most
_ZIP_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ZIP_FAULTS = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OverflowError, RuntimeError, ValueError, OSError)


@dataclass(frozen=True)
class Bundle:
    """An opened and verified bundle.

    Attributes:
        path: the folder, or the zip file.
        manifest: what it says of itself.
    """

    path: Path
    manifest: Manifest

    @staticmethod
    def open(path: Path | str) -> Bundle:
        """Opens a bundle and checks its schema and the size and hash of every file.

        Raises:
            BundleError: it is missing, damaged, hostile, or of another schema; the message says which.
        """
        path = Path(path)
        try:
            mode = path.stat().st_mode
        except (OSError, ValueError) as error:
            raise BundleError(
                f"no bundle at {printable(str(path))}; check the path, or make one with 'allweather export'"
            ) from error
        if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):  # a pipe would keep us waiting
            raise BundleError(f"{path} is neither a folder nor a file; name a bundle made by 'allweather export'")
        if path.suffix == ".safetensors":
            raise BundleError(f"{path} is a checkpoint; make a bundle of it with 'allweather export'")
        bundle = Bundle(path, parse_manifest(_read(path, MANIFEST, None), str(path)))
        for name in bundle.manifest.files:
            bundle.read(name)
        return bundle

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the logits."""
        return self.manifest.classes

    @property
    def input(self) -> InputSpec:
        """What the networks take."""
        return self.manifest.input.spec()

    def outputs(self, role: Role) -> int:
        """Numbers that a network answers with for each picture."""
        return len(self.classes) if role == "classifier" else len(self.manifest.views)

    def input_of(self, role: Role) -> InputSpec:
        """What a network takes.

        Raises:
            BundleError: there is no such network.
        """
        if role == "classifier":
            return self.input
        if self.manifest.predictor is None:
            raise BundleError(f"{self.path} has no loss predictor; train one with 'allweather predictor', and export")
        if self.manifest.views != tuple(VIEWS):
            theirs = next((name for name in self.manifest.views if name not in VIEWS), "fewer or in another order")
            raise BundleError(f"{self.path}: its predictor ranks other views than this allweather has ({theirs})")
        return self.manifest.predictor.spec()

    def read(self, name: str) -> bytes:
        """The content of a listed file.

        Raises:
            BundleError: it is not listed, is missing, or differs from the size or hash in the manifest.
        """
        listed = self.manifest.files.get(name)
        if listed is None:
            raise BundleError(f"{self.path}: {name} is not listed in {MANIFEST}; export it again")
        data = _read(self.path, name, listed.size)
        if hashlib.sha256(data).hexdigest() != listed.sha256:
            raise BundleError(f"{self.path}: {name} was changed or damaged (its SHA-256 differs); export it again")
        return data

    def golden_frames(self) -> npt.NDArray[np.uint8]:
        """Prepared pictures that every engine must answer as on the day of the export: uint8 [n, h, w, 3]."""
        spec = self.manifest.input
        shape = (self.manifest.golden_count, spec.height, spec.width, 3)
        return np.asarray(self._array(self.manifest.golden_frames, shape, "|u1"), np.uint8)

    def golden_outputs(self, model: Model) -> Floats:
        """The answers of `model` to the golden frames: float32 [n, C or V]."""
        shape = (self.manifest.golden_count, self.outputs(model.role))
        return np.asarray(self._array(model.golden, shape, "<f4"), np.float32)

    def _array(self, name: str, shape: tuple[int, ...], kind: str) -> npt.NDArray[np.generic]:
        """An .npy file that must have this shape and type; checked before any room is made for it."""
        data = self.read(name)
        head = _npy_head(shape, kind)
        if not data.startswith(head) or len(data) != len(head) + np.dtype(kind).itemsize * int(np.prod(shape)):
            raise BundleError(f"{self.path}: {name} is not an array of {kind} {list(shape)}; export it again")
        return np.frombuffer(data, np.dtype(kind), offset=len(head)).reshape(shape)


def check_place(path: Path) -> None:
    """Refuses a place where no bundle could appear, before minutes are spent on it.

    Raises:
        OutputError: the place is taken by something else, or cannot be written.
    """
    if path.suffix == ".zip":
        check_file(path)
    else:
        check_folder(path, MANIFEST)


def write_bundle(path: Path, manifest: Manifest, contents: Mapping[str, bytes]) -> None:
    """Writes a bundle, whole or not at all; a name that ends in .zip makes one file.

    Args:
        path: where; an older bundle there is replaced.
        manifest: its `files` are filled in here.
        contents: content of each file by name.

    Raises:
        OutputError: the place is taken by something else, or cannot be written.
    """
    files = {
        name: StoredFile(size=len(data), sha256=hashlib.sha256(data).hexdigest()) for name, data in contents.items()
    }
    text = manifest.model_copy(update={"files": files}).model_dump_json(indent=1).encode()
    parse_manifest(text, str(path))  # what is written must be what opens
    everything = {MANIFEST: text, **contents}
    if path.suffix == ".zip":
        with atomic_file(path) as beside, zipfile.ZipFile(beside, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in everything.items():
                # a fixed date, so that the same content makes the same file
                archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data, _zip_method(data))
        return
    with atomic_folder(path, MANIFEST) as beside:
        for name, data in everything.items():
            (beside / name).parent.mkdir(exist_ok=True)
            (beside / name).write_bytes(data)


def _zip_method(data: bytes) -> int:
    """Deflate, but not for what would shrink so far that it would be refused as a bomb when opened."""
    if len(data) > MAXIMUM_SLACK and len(data) > MAXIMUM_RATIO // 2 * len(zlib.compress(data, 1)):
        return zipfile.ZIP_STORED
    return zipfile.ZIP_DEFLATED


def npy_bytes(array: npt.NDArray[np.uint8] | Floats) -> bytes:
    """The bytes of an .npy file of `array`, in the one form that `Bundle` reads (C order, little-endian)."""
    kind = "|u1" if array.dtype == np.uint8 else "<f4"
    return _npy_head(array.shape, kind) + np.ascontiguousarray(array, kind).tobytes()


def _npy_head(shape: tuple[int, ...], kind: str) -> bytes:
    """The head of an .npy file, version 1.0; written out here because numpy's padding differs by version."""
    text = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {tuple(shape)}, }}"
    text += " " * (-(len(text) + 11) % 64) + "\n"  # magic, length and newline take 11 bytes
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode("latin1")


def _read(path: Path, name: str, size: int | None) -> bytes:
    """At most as many bytes of a file as are expected; `size` None is for the manifest.

    Raises:
        BundleError: missing, a link or no plain file, or of another size.
    """
    most = MAXIMUM_MANIFEST if size is None else size
    data = _read_folder(path, name, most + 1) if path.is_dir() else _read_zip(path, name, most + 1)
    if len(data) > most or (size is not None and len(data) != size):
        wanted = f"{size} bytes" if size is not None else f"at most {most} bytes"
        raise BundleError(
            f"{path}: {name} should have {wanted} and has {'more' if len(data) > most else len(data)}; "
            "it is damaged: export it again"
        )
    return data


def _read_folder(path: Path, name: str, most: int) -> bytes:
    file = path / name
    try:
        if not file.is_file():  # also keeps us from waiting on a pipe
            raise BundleError(f"{path}: {name} is missing or no plain file; export it again")
        if file.resolve() != path.resolve() / name:
            raise BundleError(f"{path}: {name} is a link to another place; put the file itself there")
        with file.open("rb") as stream:
            return stream.read(min(most, os.fstat(stream.fileno()).st_size + 1))
    except OSError as error:
        raise BundleError(f"{path}: {name} cannot be read ({error}); check its permissions") from error


def _read_zip(path: Path, name: str, most: int) -> bytes:
    try:
        with zipfile.ZipFile(path) as archive:
            if len(archive.infolist()) > MAXIMUM_ENTRIES:
                raise BundleError(f"{path}: holds more than {MAXIMUM_ENTRIES} files; export it again")
            entries = [entry for entry in archive.infolist() if entry.filename == name]
            if len(entries) != 1:
                found = "missing" if not entries else f"there {len(entries)} times"
                raise BundleError(f"{path}: {name} is {found}; name a bundle made by 'allweather export'")
            packed = min(entries[0].compress_size, path.stat().st_size)
            if entries[0].file_size > MAXIMUM_RATIO * packed + MAXIMUM_SLACK:
                raise BundleError(f"{path}: {name} unpacks {entries[0].file_size} bytes from {packed}; export it again")
            if entries[0].compress_type not in _ZIP_METHODS:
                raise BundleError(f"{path}: {name} is packed with another method than deflate; export it again")
            with archive.open(entries[0]) as stream:
                return stream.read(most)
    except _ZIP_FAULTS as error:
        reason = printable(str(error)[:160]) or type(error).__name__
        raise BundleError(
            f"{path}: no readable .zip ({reason}), at {name}; name a bundle made by 'allweather export'"
        ) from error
