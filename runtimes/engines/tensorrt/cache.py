"""The folder of the engines that were built on this device, each with a note of what it was built for.

A TensorRT engine is a program: one that this device did not build, or that was changed since, is never loaded. An entry
is found by the hash of everything that it depends on, so that an engine for another GPU or for an older TensorRT is
never found.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from allweather.runtimes.errors import EngineError, NotBuiltError, OutputError, map_write_errors
from allweather.runtimes.system.private_folder import (
    cache_folder,
    check_private,
    make_private,
    read_private,
    write_private,
)

BUILD_HINT = "run 'allweather build BUNDLE'"
MAGIC = {"tensorrt": b"ftrt", "tensorrt_rtx": b"vtrt"}  # first bytes of an engine of each library
VERSION = slice(24, 28)  # bytes of an engine that hold its version: major, minor, patch and build


@dataclass(frozen=True)
class EngineKey:
    """Everything that a built engine depends on.

    Attributes:
        onnx: SHA-256 of the ONNX graph that it was built from.
        precision: Precision of the model in the bundle.
        height: Height of its images, in pixels.
        width: Width of its images, in pixels.
        max_batch_size: Largest number of images in one call.
        variant: "tensorrt" or "tensorrt_rtx".
        version: Version of that library, with as many parts as it reports: "10.3.0", "11.4.0.106".
        gpu: Name of the GPU.
        architecture: Its compute capability, such as "8.7".
        cuda: Newest version of CUDA that the driver supports, such as "12.6".
    """

    onnx: str
    precision: str
    height: int
    width: int
    max_batch_size: int
    variant: str
    version: str
    gpu: str
    architecture: str
    cuda: str

    @property
    def digest(self) -> str:
        """SHA-256 over all fields: the file name of the entry."""
        return _sha256(json.dumps(asdict(self), sort_keys=True).encode())


@dataclass(frozen=True)
class BuiltEngines:
    """The cache of built engines.

    Attributes:
        folder: Folder of the entries. It belongs to this user, and nobody else can write to it.
    """

    folder: Path

    def load(self, key: EngineKey) -> bytes:
        """Returns the engine of a key: exactly what was stored, and made by the library that will load it.

        Raises:
            NotBuiltError: There is none.
            EngineError: The engine was changed, is incomplete, or was built by another version or for another key; or
                other users can write to the folder.
        """
        check_private(self.folder)
        engine, note = self._read(f"{key.digest}.engine"), self._read(f"{key.digest}.json")
        if engine is None or note is None:
            raise NotBuiltError(f"{key.variant} {key.precision}: not built for this device yet: {BUILD_HINT}")
        if note != _note(key, engine):
            raise EngineError(
                f"{self.folder / key.digest}.engine was changed, is incomplete or was built for another device or "
                f"model: {BUILD_HINT}"
            )
        _check_version(engine, key)
        return engine

    def store(self, key: EngineKey, engine: bytes) -> None:
        """Writes an entry, completely or not at all; an older one is replaced.

        Raises:
            EngineError: The engine names another version than the key.
            OutputError: The folder cannot be written to.
        """
        _check_version(engine, key)
        self._write(f"{key.digest}.engine", engine)
        self._write(f"{key.digest}.json", _note(key, engine))  # last: an entry is valid once it has its note

    def timing_cache(self, key: EngineKey) -> bytes:
        """Returns TensorRT's measurements in earlier builds on this device; empty if there were none."""
        return self._read(_timing_cache_name(key)) or b""

    def store_timing_cache(self, key: EngineKey, timing_cache: bytes) -> None:
        """Keeps TensorRT's measurements for the next build.

        Raises:
            OutputError: The folder cannot be written to.
        """
        self._write(_timing_cache_name(key), timing_cache)

    @contextmanager
    def building(self, key: EngineKey, on_wait: Callable[[], None]) -> Iterator[None]:
        """Keeps other processes from building the same engine while the `with` block lasts.

        Args:
            key: Key of the engine.
            on_wait: Called once before waiting, if another process is building the engine.

        Raises:
            OutputError: The folder cannot be written to.
        """
        import fcntl  # Windows has no such module; nothing else here depends on it

        self._make_folder()
        with _cache_errors(self.folder):
            handle = os.open(self.folder / f"{key.digest}.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                on_wait()
                fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            # This also unlocks. The file is not deleted, or two processes could lock two files of the same name.
            os.close(handle)

    def _read(self, name: str) -> bytes | None:
        """Returns the content of a regular file that this user owns; None if there is no such file."""
        try:
            return read_private(self.folder / name)
        except EngineError as error:
            raise EngineError(f"{error}; or delete it and {BUILD_HINT}") from error

    def _make_folder(self) -> None:
        with _cache_errors(self.folder):
            make_private(self.folder)

    def _write(self, name: str, content: bytes) -> None:
        self._make_folder()
        with _cache_errors(self.folder):
            write_private(self.folder / name, content)


def built_engines() -> BuiltEngines:
    """Returns the cache of this user, in XDG_CACHE_HOME or ~/.cache; the first build creates its folder.

    Raises:
        NotBuiltError: There is no home directory to keep built engines in.
        EngineError: The folder is a link, belongs to another user, or other users can write to it.
    """
    try:
        folder = cache_folder("tensorrt")
    except EngineError as error:
        raise NotBuiltError(f"{error}; then {BUILD_HINT}") from error
    check_private(folder.parent, folder)
    return BuiltEngines(folder)


@contextmanager
def _cache_errors(folder: Path) -> Iterator[None]:
    """Maps errors of writing to `OutputError`, and says how to choose another folder."""
    try:
        with map_write_errors(folder):
            yield
    except OutputError as error:
        raise OutputError(f"{error}; set XDG_CACHE_HOME to keep built engines elsewhere") from error


def _check_version(engine: bytes, key: EngineKey) -> None:
    """Checks which library and version made an engine, before any library reads it.

    In an engine, each part of the version takes one byte.

    Raises:
        EngineError: The engine is not of the key's library or version.
    """
    expected = tuple(int(part) % 256 for part in key.version.split("."))
    version = tuple(engine[VERSION])
    if engine[:4] != MAGIC[key.variant] or len(version) != 4:
        raise EngineError(
            f"{key.variant} {key.precision}: the file does not begin like an engine of {key.variant}: {BUILD_HINT}"
        )
    if version[: len(expected)] != expected:
        raise EngineError(
            f"the engine was built by {key.variant} {'.'.join(map(str, version))}, but {key.version} is installed: "
            f"{BUILD_HINT}"
        )


def _note(key: EngineKey, engine: bytes) -> bytes:
    """Returns the content of the file beside an engine: `load` compares it, and people can read it."""
    about = {"key": asdict(key), "size": len(engine), "sha256": _sha256(engine)}
    return json.dumps(about, sort_keys=True, indent=1).encode()


def _timing_cache_name(key: EngineKey) -> str:
    """Returns the name of the file that all builds on one device with one version of TensorRT share."""
    parts = (key.variant, key.version, key.gpu, key.architecture, key.cuda)
    return f"timings-{_sha256(json.dumps(parts).encode())}.cache"


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
