"""The folder or .zip file that a bundle is read from, held by one descriptor, in pieces of bounded size.

All files come from what was there when it was opened, also if another bundle takes its path meanwhile: a .zip file
stays readable until it is closed, and of a folder it can be told that it was replaced.
"""

from __future__ import annotations

import errno
import io
import os
import stat
import struct
import weakref
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from allweather.runtimes.bundle.manifest import MANIFEST
from allweather.runtimes.errors import BundleError, first_line
from allweather.runtimes.text import printable

PIECE_BYTES = 1 << 20  # read at once
MAX_ZIP_RATIO = 50  # weights shrink to a half at best; deflate can hide a gigabyte in a megabyte
FREE_ZIP_BYTES = 1 << 20  # of each file are exempt from the ratio: a short text or a dark image shrinks much further
MAX_ZIP_ENTRIES = 2000  # a manifest lists 1000 files at most
MAX_ZIP_LIST_BYTES = 4 << 20  # of the list at the end of a .zip file: 1000 names take 0.3 MB
_ZIP_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OverflowError, RuntimeError, ValueError, OSError)
MADE_BY = {".onnx": "import", ".xml": "import", ".safetensors": "export"}  # the command that makes a bundle of a file
_NOT_A_FILE = {errno.ENOENT, errno.ENOTDIR, errno.ENXIO}  # as raised where nothing, a file or a socket is at the path
_OPEN = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK  # opening a pipe would wait forever without the last


class Source(ABC):
    """Gives the content of a bundle's files. Several threads may read at the same time.

    Args:
        path: The bundle.
        descriptor: The open folder or file; it is closed with this object.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self.where = printable(str(path))
        self._path, self._descriptor = path, descriptor
        weakref.finalize(self, os.close, descriptor)
        self._first_state = self._state()

    @abstractmethod
    def pieces(self, name: str, size: int | None, limit: int) -> Iterator[bytes]:
        """Yields the content of a file, `PIECE_BYTES` at once at most.

        Args:
            name: Name of the file in the bundle.
            size: Expected size in bytes; None if only its limit is known.
            limit: Largest size in bytes.

        Raises:
            BundleError: The file is missing, is a link or not a regular file, or has another size.
        """

    def was_replaced(self) -> bool:
        """Returns whether something else is at the path now, or another content in the same file."""
        try:
            now, held = self._path.stat(), os.fstat(self._descriptor)
            return (now.st_dev, now.st_ino) != (held.st_dev, held.st_ino) or self._state() != self._first_state
        except (OSError, ValueError):
            return True

    @abstractmethod
    def _state(self) -> tuple[int, ...]:
        """Returns numbers that change when another bundle is written into the open file or folder."""

    def _check_size(self, name: str, found: int, size: int | None, limit: int) -> None:
        if size not in (None, found) or found > limit:
            expected = f"{size} bytes" if size not in (None, found) else f"at most {limit} bytes"
            raise BundleError(
                f"{self.where}: {name} should have {expected} and has {found}; it is damaged: copy or export it again"
            )


class FolderSource(Source):
    """A bundle that is a folder. Its files are opened below the folder's descriptor and never through a link."""

    def pieces(self, name: str, size: int | None, limit: int) -> Iterator[bytes]:
        """See `Source.pieces`."""
        try:
            with self._open(name) as stream:
                self._check_size(name, os.fstat(stream.fileno()).st_size, size, limit)
                total = 0
                while piece := stream.read(PIECE_BYTES):
                    total += len(piece)
                    if total > limit:  # it grows while it is read
                        break
                    yield piece
                self._check_size(name, total, size, limit)
        except OSError as error:
            if error.errno in _NOT_A_FILE:
                raise self._not_a_file(name) from error
            reason = error.strerror or first_line(error)
            raise BundleError(f"{self.where}: {name} cannot be read ({reason}); check its permissions") from error

    def _open(self, name: str) -> io.BufferedReader:
        *folders, file = name.split("/")
        with ExitStack() as parents:
            parent = self._descriptor
            for folder in folders:
                parent = self._enter(parent, folder, name, os.O_DIRECTORY)
                parents.callback(os.close, parent)
            stream = os.fdopen(self._enter(parent, file, name, 0), "rb")
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            stream.close()
            raise self._not_a_file(name)
        return stream

    def _enter(self, folder: int, entry: str, name: str, flag: int) -> int:
        """Returns the descriptor of an entry of an open folder, on the way to the file `name`."""
        mode = os.stat(entry, dir_fd=folder, follow_symlinks=False).st_mode
        if stat.S_ISLNK(mode):
            raise BundleError(f"{self.where}: {name} is a link to another path; put the file itself there")
        if not (stat.S_ISREG(mode) or (stat.S_ISDIR(mode) and flag)):  # some devices do something when they are opened
            raise self._not_a_file(name)
        return os.open(entry, _OPEN | os.O_NOFOLLOW | flag, dir_fd=folder)

    def _not_a_file(self, name: str) -> BundleError:
        return BundleError(f"{self.where}: {name} is missing or not a regular file; copy or export it again")

    def _state(self) -> tuple[int, ...]:
        """See `Source._state`. The folder's own date also changes when a file that is not listed is put into it."""
        try:
            manifest = os.stat(MANIFEST, dir_fd=self._descriptor, follow_symlinks=False)
        except FileNotFoundError:
            return ()
        return manifest.st_ino, manifest.st_size, manifest.st_mtime_ns


class ZipSource(Source):
    """A bundle that is a .zip file. Its list of files is read once, when it is opened.

    Raises:
        BundleError: It is not a .zip file, or one that no bundle is.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        super().__init__(path, descriptor)
        self._bytes = os.fstat(descriptor).st_size
        try:
            self._archive = zipfile.ZipFile(_BoundedReads(descriptor, self._bytes))
        except _ZIP_ERRORS as error:
            raise self._unreadable(MANIFEST, error) from error
        entries = self._archive.infolist()
        if len(entries) > MAX_ZIP_ENTRIES:
            raise BundleError(f"{self.where}: holds more than {MAX_ZIP_ENTRIES} files; export it again")
        self._counts = Counter(entry.filename for entry in entries)

    def pieces(self, name: str, size: int | None, limit: int) -> Iterator[bytes]:
        """See `Source.pieces`."""
        if self._counts[name] != 1:
            fault = f"in it {self._counts[name]} times" if self._counts[name] else "missing"
            raise BundleError(f"{self.where}: {name} is {fault}; name a bundle made by 'allweather export'")
        entry = self._archive.getinfo(name)
        packed = min(entry.compress_size, self._bytes)
        if entry.file_size > MAX_ZIP_RATIO * packed + FREE_ZIP_BYTES:
            raise BundleError(f"{self.where}: {name} unpacks to {entry.file_size} bytes from {packed}; export it again")
        self._check_size(name, entry.file_size, size, limit)
        if entry.compress_type not in _ZIP_METHODS:
            raise BundleError(f"{self.where}: {name} is packed with another method than deflate; export it again")
        total = 0
        try:
            with self._archive.open(entry) as stream:
                while piece := stream.read(PIECE_BYTES):
                    total += len(piece)
                    yield piece
        except _ZIP_ERRORS as error:
            raise self._unreadable(name, error) from error
        self._check_size(name, total, size, limit)

    def _unreadable(self, name: str, error: Exception) -> BundleError:
        reason = printable(str(error)[:160]) or type(error).__name__
        if command := MADE_BY.get(Path(self.where).suffix.lower()):
            return BundleError(f"{self.where} is no bundle; make one of it first: allweather {command} {self.where}")
        return BundleError(
            f"{self.where}: not a readable .zip file ({reason}), at {name}; name a bundle made by 'allweather export'"
        )

    def _state(self) -> tuple[int, ...]:
        """See `Source._state`."""
        status = os.fstat(self._descriptor)
        return status.st_size, status.st_mtime_ns


class _BoundedReads(io.RawIOBase):
    """A file that is read by its descriptor, and never more than the list of a bundle's files takes at once.

    `zipfile` reads that list as a whole, however long the file says that it is.

    Args:
        descriptor: The open file.
        size: Its size in bytes.
    """

    def __init__(self, descriptor: int, size: int) -> None:
        self._descriptor, self._size, self._position = descriptor, size, 0

    def seekable(self) -> bool:
        """Returns True."""
        return True

    def tell(self) -> int:
        """Returns the position in bytes."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Moves to a position and returns it."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        if start + offset < 0:
            raise OSError(errno.EINVAL, "a position before the beginning of the file")
        self._position = start + offset
        return self._position

    def read(self, size: int = -1) -> bytes:
        """Returns the next bytes, as many as asked for unless the file ends."""
        wanted = max(0, self._size - self._position) if size < 0 else size
        if wanted > MAX_ZIP_LIST_BYTES:
            raise zipfile.BadZipFile("its list of files is longer than that of any bundle")
        data = os.pread(self._descriptor, wanted, self._position)
        self._position += len(data)
        return data


def open_source(path: Path) -> Source:
    """Opens the folder or file of a bundle.

    Raises:
        BundleError: There is none, or it is neither a folder nor a .zip file.
    """
    where = printable(str(path))
    try:
        _check_kind(path.stat().st_mode, where)  # before it is opened, as opening some devices does something
        if path.suffix == ".safetensors" and path.is_file():
            raise BundleError(f"{where} is a checkpoint; make a bundle of it with 'allweather export'")
        descriptor = os.open(path, _OPEN)
        return (FolderSource if stat.S_ISDIR(os.fstat(descriptor).st_mode) else ZipSource)(path, descriptor)
    except PermissionError as error:
        raise BundleError(f"{where} cannot be read ({error.strerror}); check its permissions") from error
    except (OSError, ValueError) as error:
        raise BundleError(f"no bundle at {where}; check the path, or make one with 'allweather export'") from error


def _check_kind(mode: int, where: str) -> None:
    if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):  # reading a pipe would wait forever
        raise BundleError(f"{where} is neither a folder nor a file; name a bundle made by 'allweather export'")
