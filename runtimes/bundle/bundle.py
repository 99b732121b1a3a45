"""The bundle: everything that a device needs to decide, in one folder or .zip file.

It holds `manifest.json`, ONNX graphs, OpenVINO IR and golden frames; no pickle, no compiled engine, and no reference to
anything outside. It is written completely or not at all, and checked when it is opened. Files are returned as bytes
that were checked against their hash, so that exactly what was verified is what runs.
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
    MAX_MANIFEST_BYTES,
    Manifest,
    Model,
    Role,
    StoredFile,
    parse_manifest,
)
from allweather.runtimes.errors import BundleError, UsageError
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.system.atomic_files import atomic_file, atomic_folder, check_file, check_folder
from allweather.runtimes.text import printable
from allweather.runtimes.tta.views import view
from allweather.runtimes.types import Floats

MAX_ZIP_RATIO = 50  # weights shrink to a half at best; deflate can hide a gigabyte in a megabyte
FREE_ZIP_BYTES = 1 << 20  # of each file are exempt from the ratio: a short text or a dark image shrinks much further
MAX_ZIP_ENTRIES = 2000  # the archive's list is read again for each file; a manifest lists 1000 files at most
_ZIP_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OverflowError, RuntimeError, ValueError, OSError)


@dataclass(frozen=True)
class Bundle:
    """An opened and verified bundle.

    Attributes:
        path: The folder, or the .zip file.
        manifest: Its description: classes, inputs, models, policies, and the list of files.
    """

    path: Path
    manifest: Manifest

    @staticmethod
    def open(path: Path | str) -> Bundle:
        """Opens a bundle and checks its schema and the size and hash of every file.

        Raises:
            BundleError: It is missing, damaged, hostile, or of another schema; the message says which.
        """
        path = Path(path)
        try:
            mode = path.stat().st_mode
        except (OSError, ValueError) as error:
            raise BundleError(
                f"no bundle at {printable(str(path))}; check the path, or make one with 'allweather export'"
            ) from error
        if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):  # reading a pipe would wait forever
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
        """The classifier's input."""
        return self.manifest.input.spec()

    def outputs(self, role: Role) -> int:
        """Returns the number of outputs for each image: one for each class, or one for each view for the predictor."""
        return len(self.classes) if role == "classifier" else len(self.manifest.views)

    def input_of(self, role: Role) -> InputSpec:
        """Returns the input of a model.

        Raises:
            BundleError: The bundle has no predictor, or one for a view that this version of allweather does not know.
        """
        if role == "classifier":
            return self.input
        if self.manifest.predictor is None:
            raise BundleError(
                f"{self.path} has no loss predictor; train one with 'allweather train-predictor', and export it again"
            )
        self.check_views()
        return self.manifest.predictor.spec()

    def check_views(self) -> None:
        """Checks that this version of allweather knows every view whose loss the predictor predicts.

        Raises:
            BundleError: It does not know one; the message names it.
        """
        for name in self.manifest.views:
            try:
                view(name)
            except UsageError as error:
                raise BundleError(
                    f"{self.path}: its loss predictor is for the view {printable(name[:64])!r}, which this version "
                    "of allweather does not know; register it with allweather.register_view, update allweather, or "
                    "export it again"
                ) from error

    def read(self, name: str) -> bytes:
        """Returns the content of a listed file.

        Raises:
            BundleError: It is not listed, is missing, or differs from the size or hash in the manifest.
        """
        listed = self.manifest.files.get(name)
        if listed is None:
            raise BundleError(f"{self.path}: {name} is not listed in {MANIFEST}; export it again")
        data = _read(self.path, name, listed.size)
        if hashlib.sha256(data).hexdigest() != listed.sha256:
            raise BundleError(f"{self.path}: {name} was changed or damaged (its SHA-256 differs); export it again")
        return data

    def golden_frames(self) -> npt.NDArray[np.uint8]:
        """Returns the prepared images whose outputs every engine must reproduce: uint8 [n, h, w, 3]."""
        spec = self.manifest.input
        shape = (self.manifest.golden_count, spec.height, spec.width, 3)
        return np.asarray(self._array(self.manifest.golden_frames, shape, "|u1"), np.uint8)

    def golden_outputs(self, model: Model) -> Floats:
        """Returns the outputs of `model` on the golden frames at the export: float32 [n, C or V]."""
        shape = (self.manifest.golden_count, self.outputs(model.role))
        return np.asarray(self._array(model.golden, shape, "<f4"), np.float32)

    def _array(self, name: str, shape: tuple[int, ...], dtype: str) -> npt.NDArray[np.generic]:
        """Returns the array in an .npy file of this shape and dtype, checked before memory is allocated for it."""
        data = self.read(name)
        header = _npy_header(shape, dtype)
        if not data.startswith(header) or len(data) != len(header) + np.dtype(dtype).itemsize * int(np.prod(shape)):
            raise BundleError(f"{self.path}: {name} is not an array of {dtype} {list(shape)}; export it again")
        return np.frombuffer(data, np.dtype(dtype), offset=len(header)).reshape(shape)


def check_bundle_path(path: Path) -> None:
    """Checks that a bundle can be written to a path, before minutes are spent on its content.

    Raises:
        OutputError: Something else is at the path, or it cannot be written.
    """
    if path.suffix == ".zip":
        check_file(path)
    else:
        check_folder(path, MANIFEST)


def write_bundle(path: Path, manifest: Manifest, contents: Mapping[str, bytes]) -> None:
    """Writes a bundle, completely or not at all; a path that ends in .zip makes one file.

    Args:
        path: Path of the bundle; an older bundle there is replaced.
        manifest: The description; its `files` are filled in here.
        contents: Content of each file, by name.

    Raises:
        OutputError: Something else is at the path, or it cannot be written.
        BundleError: The manifest contradicts itself or the contents.
    """
    files = {
        name: StoredFile(size=len(data), sha256=hashlib.sha256(data).hexdigest()) for name, data in contents.items()
    }
    text = manifest.model_copy(update={"files": files}).model_dump_json(indent=1).encode()
    parse_manifest(text, str(path))  # so that nothing is written that would not open
    everything = {MANIFEST: text, **contents}
    if path.suffix == ".zip":
        with atomic_file(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in everything.items():
                # a fixed date, so that the same content makes the same file
                archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data, _zip_method(data))
        return
    with atomic_folder(path, MANIFEST) as temporary:
        for name, data in everything.items():
            (temporary / name).parent.mkdir(exist_ok=True)
            (temporary / name).write_bytes(data)


def _zip_method(data: bytes) -> int:
    """Returns deflate, but not for data that shrink so far that `Bundle.open` would refuse them as a zip bomb."""
    if len(data) > FREE_ZIP_BYTES and len(data) > MAX_ZIP_RATIO // 2 * len(zlib.compress(data, 1)):
        return zipfile.ZIP_STORED
    return zipfile.ZIP_DEFLATED


def npy_bytes(array: npt.NDArray[np.uint8] | Floats) -> bytes:
    """Returns the bytes of an .npy file of `array`, in the one form that `Bundle` reads (C order, little-endian)."""
    dtype = "|u1" if array.dtype == np.uint8 else "<f4"
    return _npy_header(array.shape, dtype) + np.ascontiguousarray(array, dtype).tobytes()


def _npy_header(shape: tuple[int, ...], dtype: str) -> bytes:
    """Returns the header of an .npy file, version 1.0. Not numpy's own, whose padding differs between versions."""
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {tuple(shape)}, }}"
    text += " " * (-(len(text) + 11) % 64) + "\n"  # magic, length and newline take 11 bytes
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode("latin1")


def _read(path: Path, name: str, size: int | None) -> bytes:
    """Reads a file of a bundle, and never more bytes than expected.

    Args:
        path: The bundle.
        name: Name of the file in it.
        size: Expected size in bytes; None for the manifest, whose size is bounded instead.

    Raises:
        BundleError: The file is missing, is a link or not a regular file, or has another size.
    """
    limit = MAX_MANIFEST_BYTES if size is None else size
    data = _read_folder(path, name, limit + 1) if path.is_dir() else _read_zip(path, name, limit + 1)
    if len(data) > limit or (size is not None and len(data) != size):
        expected = f"{size} bytes" if size is not None else f"at most {limit} bytes"
        raise BundleError(
            f"{path}: {name} should have {expected} and has {'more' if len(data) > limit else len(data)}; "
            "it is damaged: export it again"
        )
    return data


def _read_folder(path: Path, name: str, max_bytes: int) -> bytes:
    file = path / name
    try:
        if not file.is_file():  # opening a pipe would wait forever
            raise BundleError(f"{path}: {name} is missing or not a regular file; export it again")
        if file.resolve() != path.resolve() / name:
            raise BundleError(f"{path}: {name} is a link to another path; put the file itself there")
        with file.open("rb") as stream:
            return stream.read(min(max_bytes, os.fstat(stream.fileno()).st_size + 1))
    except OSError as error:
        raise BundleError(f"{path}: {name} cannot be read ({error}); check its permissions") from error


def _read_zip(path: Path, name: str, max_bytes: int) -> bytes:
    try:
        with zipfile.ZipFile(path) as archive:
            if len(archive.infolist()) > MAX_ZIP_ENTRIES:
                raise BundleError(f"{path}: holds more than {MAX_ZIP_ENTRIES} files; export it again")
            entries = [entry for entry in archive.infolist() if entry.filename == name]
            if len(entries) != 1:
                fault = "missing" if not entries else f"in it {len(entries)} times"
                raise BundleError(f"{path}: {name} is {fault}; name a bundle made by 'allweather export'")
            packed = min(entries[0].compress_size, path.stat().st_size)
            if entries[0].file_size > MAX_ZIP_RATIO * packed + FREE_ZIP_BYTES:
                raise BundleError(
                    f"{path}: {name} unpacks to {entries[0].file_size} bytes from {packed}; export it again"
                )
            if entries[0].compress_type not in _ZIP_METHODS:
                raise BundleError(f"{path}: {name} is packed with another method than deflate; export it again")
            with archive.open(entries[0]) as stream:
                return stream.read(max_bytes)
    except _ZIP_ERRORS as error:
        reason = printable(str(error)[:160]) or type(error).__name__
        raise BundleError(
            f"{path}: not a readable .zip file ({reason}), at {name}; name a bundle made by 'allweather export'"
        ) from error
