"""The bundle: everything that a device needs to decide, in one folder or .zip file.

It holds `manifest.json`, ONNX graphs, OpenVINO IR and golden frames; no pickle, no compiled engine, and no reference to
anything outside. It is written completely or not at all, and checked when it is opened. Files are returned as bytes
that were checked against their hash, so that exactly what was verified is what runs.
"""

from __future__ import annotations

import glob
import hashlib
import io
import time
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
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
from allweather.runtimes.bundle.output_path import check_replaceable
from allweather.runtimes.bundle.sizes import largest_sizes
from allweather.runtimes.bundle.source import FREE_ZIP_BYTES, MAX_ZIP_RATIO, Source, open_source
from allweather.runtimes.errors import BundleError, UsageError
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.system.atomic_files import atomic_file, atomic_folder
from allweather.runtimes.system.limits import usable_memory
from allweather.runtimes.system.path_argument import as_path
from allweather.runtimes.text import printable
from allweather.runtimes.tta.views import view
from allweather.runtimes.types import Floats

REPLACED_SECONDS = 0.05  # waited where a folder is about to take the path of another one


class ReplacedError(BundleError):
    """Another bundle took the path while this one was read."""


@dataclass(frozen=True)
class Bundle:
    """An opened and verified bundle.

    Attributes:
        path: The folder, or the .zip file.
        manifest: Its description: classes, inputs, models, policies, and the list of files.
    """

    path: Path
    manifest: Manifest = field(repr=False)  # several kilobytes
    _source: Source = field(repr=False, compare=False)

    @staticmethod
    def open(path: Path | str) -> Bundle:
        """Opens a bundle and checks its schema and the size and hash of every file.

        One that is replaced by another meanwhile is opened once more.

        Raises:
            BundleError: It is missing, damaged, hostile, or of another schema; the message says which.
            ReplacedError: It was replaced twice while it was opened.
            UsageError: `path` is neither text nor a path.
        """
        path = as_path(path, "a bundle")
        try:
            return _open_and_verify(path)
        except ReplacedError:
            return _open_and_verify(path)

    def __hash__(self) -> int:
        """Returns the hash of the path; the manifest holds dictionaries, which have none."""
        return hash(self.path)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the logits."""
        return self.manifest.classes

    @property
    def input(self) -> InputSpec:
        """The classifier's input."""
        return self.manifest.input.spec()

    @property
    def has_large(self) -> bool:
        """Whether it holds a large classifier, which policies such as "center+large@0.9" need."""
        return any(model.role == "large" for model in self.manifest.models)

    def outputs(self, role: Role) -> int:
        """Returns the number of outputs for each image: one for each class, or one for each view for the predictor."""
        return len(self.manifest.views) if role == "predictor" else len(self.classes)

    def input_of(self, role: Role) -> InputSpec:
        """Returns the input of a model.

        Raises:
            BundleError: The bundle has no predictor, or one for a view that this version of allweather does not know.
        """
        if role != "predictor":
            return self.input
        if self.manifest.predictor is None:
            raise BundleError(
                f"{self._source.where} has no loss predictor; train one with 'allweather train-predictor', and export "
                "it again"
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
                    f"{self._source.where}: its loss predictor is for the view {printable(name[:64])!r}, which this "
                    "version of allweather does not know; register it with allweather.register_view, update "
                    "allweather, or export it again"
                ) from error

    def read(self, name: str) -> bytes:
        """Returns the content of a listed file.

        Raises:
            BundleError: It is not listed, is missing, or differs from the size or hash in the manifest.
            UsageError: The name is no text.
        """
        if not isinstance(name, str):
            raise UsageError(f"a file of a bundle is named by text, such as {MANIFEST}; got {type(name).__name__}")
        listed = self.manifest.files.get(name)
        if listed is None:
            raise BundleError(f"{self._source.where}: {name} is not listed in {MANIFEST}; export it again")
        if listed.size > usable_memory():
            raise BundleError(
                f"{self._source.where}: {name} has {listed.size} bytes, more than the memory here "
                f"({usable_memory()}); run it on a larger device"
            )
        content = io.BytesIO()
        with _replacement_told(self._source):
            _verify(self._source, name, listed, listed.size, content)
        return content.getvalue()

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
            raise BundleError(f"{self._source.where}: {name} is not an array of {dtype} {list(shape)}; export it again")
        return np.frombuffer(data, np.dtype(dtype), offset=len(header)).reshape(shape)


def write_bundle(path: Path | str, manifest: Manifest, contents: Mapping[str, bytes]) -> None:
    """Writes a bundle, completely or not at all; a path that ends in .zip makes one file.

    Args:
        path: Path of the bundle; an older bundle there is replaced, if there is nothing else.
        manifest: The description; its `files` are filled in here.
        contents: Content of each file, by name.

    Raises:
        OutputError: Something else is at the path, or it cannot be written.
        BundleError: The manifest contradicts itself or the contents.
    """
    path = as_path(path)
    files = {
        name: StoredFile(size=len(data), sha256=hashlib.sha256(data).hexdigest()) for name, data in contents.items()
    }
    text = manifest.model_copy(update={"files": files}).model_dump_json(indent=1).encode()
    where = printable(str(path))
    if len(text) > MAX_MANIFEST_BYTES:
        raise BundleError(
            f"{where}: {MANIFEST} would have {len(text)} bytes, and a bundle takes at most {MAX_MANIFEST_BYTES}; give "
            "the classes shorter names"
        )
    largest = largest_sizes(parse_manifest(text, where))  # so that nothing is written that would not open
    for name, data in contents.items():
        if len(data) > largest[name]:
            raise BundleError(f"{where}: {name} has {len(data)} bytes, and a bundle takes at most {largest[name]}")
    everything = {MANIFEST: text, **contents}
    check_replaceable(path)
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


def _open_and_verify(path: Path) -> Bundle:
    try:
        source = open_source(path)
    except BundleError as error:
        if not (isinstance(error.__cause__, FileNotFoundError) and _is_being_replaced(path)):
            raise
        time.sleep(REPLACED_SECONDS)  # a folder is away for a moment while another one takes its path
        raise ReplacedError(f"{printable(str(path))} was replaced meanwhile; start again") from error
    with _replacement_told(source):
        text = b"".join(source.pieces(MANIFEST, None, MAX_MANIFEST_BYTES))
        manifest = parse_manifest(text, source.where)
        largest = largest_sizes(manifest)
        for name, listed in manifest.files.items():
            _verify(source, name, listed, largest[name])
    return Bundle(path, manifest, source)


def _verify(source: Source, name: str, listed: StoredFile, limit: int, copy: io.BytesIO | None = None) -> None:
    """Checks the size and hash of a file, in pieces, and copies it if asked to.

    Args:
        source: The opened bundle.
        name: Name of the file.
        listed: What the manifest says of it.
        limit: The largest size in bytes that a file of its role can have.
        copy: Where the content is written to; None if it is only checked.

    Raises:
        BundleError: The file is missing, or differs from what is listed.
    """
    digest = hashlib.sha256()
    for piece in source.pieces(name, listed.size, limit):
        digest.update(piece)
        if copy is not None:
            copy.write(piece)
    if digest.hexdigest() != listed.sha256:
        raise BundleError(f"{source.where}: {name} is edited or damaged (its SHA-256 differs); copy or export it again")


@contextmanager
def _replacement_told(source: Source) -> Iterator[None]:
    """Tells a bundle that was replaced while it was read from one that is damaged.

    Raises:
        ReplacedError: The `with` block raised a `BundleError`, and something else is at the path now.
    """
    try:
        yield
    except BundleError as error:
        if not source.was_replaced():
            raise
        raise ReplacedError(f"{source.where} was replaced meanwhile; start again") from error


def _is_being_replaced(path: Path) -> bool:
    """Returns whether what is missing is there by now, or `atomic_folder` has a temporary folder for it."""
    try:
        return path.exists() or any(path.parent.glob(f".{glob.escape(path.name)}-*"))
    except (OSError, ValueError):
        return False
