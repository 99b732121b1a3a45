"""Where engines that were built on this device lie: a private folder, each beside a note of what it was built for.

A TensorRT engine is a program: one that this device did not build, or that was changed since, is never handed out. An
entry is found by the hash of all that it depends on, so that an update of TensorRT or another GPU finds none.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from allweather.runtimes.errors import EngineError, NotBuiltError, OutputError, map_write_errors
from allweather.runtimes.system.atomic_files import atomic_file
from allweather.runtimes.system.private_folder import cache_folder, check_private, make_private

CURE = "run 'allweather build BUNDLE'"
MAGIC = {"tensorrt": b"ftrt", "tensorrt_rtx": b"vtrt"}  # how an engine of each library begins
VERSION = slice(24, 28)  # of an engine's bytes: major, minor, patch and build


@dataclass(frozen=True)
class EngineKey:
    """All that a built engine depends on.

    Attributes:
        onnx: SHA-256 of the graph that it was built from.
        precision: of the model in the bundle.
        height: of its pictures, in pixels.
        width: likewise.
        batch: most pictures in one call.
        flavour: "tensorrt" or "tensorrt_rtx".
        version: of that library, in as many parts as it tells: "10.3.0", "11.4.0.106".
        gpu: name of the device.
        architecture: its compute capability, such as "8.7".
        cuda: version that the driver brings, such as "12.6".
    """

    onnx: str
    precision: str
    height: int
    width: int
    batch: int
    variant: str
    version: str
    gpu: str
    architecture: str
    cuda: str

    @property
    def digest(self) -> str:
        """SHA-256 over all parts: the name of the entry."""
        return _sha256(json.dumps(asdict(self), sort_keys=True).encode())


@dataclass(frozen=True)
class BuiltEngines:
    """The entries of one folder.

    Attributes:
        folder: owned by this user, closed to all others.
    """

    folder: Path

    def load(self, key: EngineKey) -> bytes:
        """The engine of that key: byte for byte what was stored, and made by the library that will read it.

        Raises:
            NotBuiltError: there is none.
            EngineError: it was changed, cut off, or built by or for another; or the folder is open to others.
        """
        check_private(self.folder)
        engine, note = self._read(f"{key.digest}.engine"), self._read(f"{key.digest}.json")
        if engine is None or note is None:
            raise NotBuiltError(f"{key.variant} {key.precision}: not built for this device yet: {CURE}")
        if note != _note(key, engine):
            raise EngineError(f"{self.folder / key.digest}.engine was changed, cut off or built for another: {CURE}")
        _check_version(engine, key)
        return engine

    def store(self, key: EngineKey, engine: bytes) -> None:
        """Writes an entry, whole or not at all; an older one is replaced.

        Raises:
            EngineError: the engine names another version than the key.
            OutputError: the folder cannot be written to.
        """
        _check_version(engine, key)
        self._write(f"{key.digest}.engine", engine)
        self._write(f"{key.digest}.json", _note(key, engine))  # last: an entry counts once it has its note

    def timings(self, key: EngineKey) -> bytes:
        """What TensorRT measured in earlier builds on this device; empty where there were none."""
        return self._read(_timings_name(key)) or b""

    def store_timings(self, key: EngineKey, timings: bytes) -> None:
        """Keeps them for the next build.

        Raises:
            OutputError: the folder cannot be written to.
        """
        self._write(_timings_name(key), timings)

    @contextmanager
    def building(self, key: EngineKey, wait: Callable[[], None]) -> Iterator[None]:
        """While open, no other process builds the same engine.

        Args:
            key: of the engine.
            wait: called once if another process builds it now, before waiting for that.

        Raises:
            OutputError: the folder cannot be written to.
        """
        import fcntl  # not on Windows, where nothing else here needs it

        self._make()
        with _caching(self.folder):
            handle = os.open(self.folder / f"{key.digest}.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                wait()
                fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)  # which unlocks; the file stays, or two could lock two files of one name

    def _read(self, name: str) -> bytes | None:
        """The content of a plain file of ours; None where there is no such file."""
        path = self.folder / name
        try:
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise EngineError(f"{path} cannot be read ({error.strerror}); delete it and {CURE}") from error
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
            os.close(handle)
            raise EngineError(f"{path} is no plain file of this user; delete it and {CURE}")
        with os.fdopen(handle, "rb") as stream:
            return stream.read()

    def _make(self) -> None:
        """The folder, closed to others."""
        with _caching(self.folder):
            make_private(self.folder)

    def _write(self, name: str, content: bytes) -> None:
        self._make()
        with _caching(self.folder), atomic_file(self.folder / name) as beside:
            beside.write_bytes(content)


def built_engines() -> BuiltEngines:
    """The folder of this user, in XDG_CACHE_HOME or ~/.cache; the first build makes it.

    Raises:
        EngineError: it is a link, another user's, or open to others.
    """
    folder = cache_folder("tensorrt")
    check_private(folder.parent, folder)
    return BuiltEngines(folder)


@contextmanager
def _caching(folder: Path) -> Iterator[None]:
    try:
        with map_write_errors(folder):
            yield
    except OutputError as error:
        raise OutputError(f"{error}; XDG_CACHE_HOME says where built engines lie") from error


def _check_version(engine: bytes, key: EngineKey) -> None:
    """Before any library reads it: its head names its maker. A part takes a byte there."""
    wanted = tuple(int(part) % 256 for part in key.version.split("."))
    got = tuple(engine[VERSION])
    if engine[:4] != MAGIC[key.variant] or len(got) != 4:
        raise EngineError(f"the engine of {key.variant} {key.precision} does not begin like one: {CURE}")
    if got[: len(wanted)] != wanted:
        raise EngineError(
            f"the engine was built by {key.variant} {'.'.join(map(str, got))}, here is {key.version}: {CURE}"
        )


def _note(key: EngineKey, engine: bytes) -> bytes:
    """What lies beside an engine, for people and for the check."""
    about = {"key": asdict(key), "size": len(engine), "sha256": _sha256(engine)}
    return json.dumps(about, sort_keys=True, indent=1).encode()


def _timings_name(key: EngineKey) -> str:
    same = (key.variant, key.version, key.gpu, key.architecture, key.cuda)
    return f"timings-{_sha256(json.dumps(same).encode())}.cache"


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
