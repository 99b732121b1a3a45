"""The images of shards as a source: each is read by its position, in any order."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from allweather.runtimes.cameras.image_files.decode import MAX_IMAGE_BYTES
from allweather.runtimes.errors import DataError
from allweather.runtimes.text import printable
from allweather.trainers.data.shards.shard_index import Shard, ShardIndex
from allweather.trainers.data.streamed.image_source import ImageSource


class ShardSource(ImageSource):
    """The images of indexed shards, shard by shard.

    All that is known of an image is in arrays, which worker processes share; see `FileSource`. A shard is opened for
    each image: that takes a hundredth of the time of decoding it, and there may be more shards than files may be open.

    Args:
        shards: The shards.
        indexes: The index of each.
    """

    def __init__(self, shards: Sequence[Shard], indexes: Sequence[ShardIndex]) -> None:
        self._paths = [os.fsencode(shard.path) for shard in shards]
        self._shown = [shard.shown for shard in shards]
        self._stamps = [index.stamp for index in indexes]
        counts = [len(index.offsets) for index in indexes]
        self._shards = np.repeat(np.arange(len(shards), dtype=np.int32), counts)
        self._offsets = _joined([index.offsets for index in indexes])
        self._sizes = _joined([index.sizes for index in indexes])
        self._names = np.frombuffer(b"".join(index.names for index in indexes), np.uint8)
        before = np.cumsum([0, *(len(index.names) for index in indexes)])
        ends = [index.name_ends + start for index, start in zip(indexes, before[:-1].tolist(), strict=True)]
        self._ends = _joined([np.zeros(1, np.int64), *ends])

    def __len__(self) -> int:
        """Returns the number of images."""
        return len(self._offsets)

    def read(self, index: int) -> bytes:
        """Returns the encoded image; see `ImageSource`."""
        size, offset = int(self._sizes[index]), int(self._offsets[index])
        if size > MAX_IMAGE_BYTES:
            raise DataError(f"it has {size} bytes, and an image at most {MAX_IMAGE_BYTES}; remove it")
        handle = os.open(self._paths[self._shards[index]], os.O_RDONLY | os.O_CLOEXEC)
        try:
            data = os.pread(handle, size, offset)
            while 0 < len(data) < size and (more := os.pread(handle, size - len(data), offset + len(data))):
                data += more
        finally:
            os.close(handle)
        if len(data) < size:
            raise DataError("its shard is shorter than it was at the start")
        return data

    def name(self, index: int) -> str:
        """Returns the name of the member and that of its shard."""
        return f"{self._member(index)} in {self._shown[self._shards[index]]}"

    def stamp(self, index: int) -> str:
        """Returns the name, and the size and time that the shard had when it was indexed."""
        stamp = self._stamps[self._shards[index]]
        return f"{self.name(index)} {stamp} {self._offsets[index]} {self._sizes[index]}"

    def _member(self, index: int) -> str:
        name = self._names[self._ends[index] : self._ends[index + 1]].tobytes()
        return printable(name.decode("utf-8", "surrogateescape"))


def _joined(arrays: Sequence[npt.NDArray[np.int64]]) -> npt.NDArray[np.int64]:
    return np.concatenate(arrays) if arrays else np.empty(0, np.int64)
