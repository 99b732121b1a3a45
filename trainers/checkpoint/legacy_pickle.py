"""Files of torch before version 1.6: whether one asks for no more memory than it can fill, told without running it.

Such a file is five pickles (a magic number, a protocol, a description of the machine, the object, the keys of its
storages) and then the bytes of the storages. Torch allocates each storage by the size that the object states, before it
reads its bytes, so that a small damaged file could ask for all memory.
"""

from __future__ import annotations

import pickletools
from collections.abc import Iterator
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import IO, Any, cast

PICKLES_BEFORE = 3  # before the object
MAX_OPERATIONS = 1_000_000  # a network of a thousand layers takes about 50,000
ITEM_BYTES = {
    "DoubleStorage": 8, "LongStorage": 8, "FloatStorage": 4, "IntStorage": 4, "HalfStorage": 2, "BFloat16Storage": 2,
    "ShortStorage": 2, "ByteStorage": 1, "CharStorage": 1, "BoolStorage": 1,
}  # fmt: skip
LARGEST_ITEM = 16  # bytes, of complex numbers
TEXTS = ("BINUNICODE", "SHORT_BINUNICODE", "UNICODE")
NUMBERS = ("BININT", "BININT1", "BININT2", "LONG1", "INT", "LONG")
STORES, FETCHES = ("BINPUT", "LONG_BINPUT", "PUT", "MEMOIZE"), ("BINGET", "LONG_BINGET", "GET")


def legacy_fault(path: Path) -> str:
    """Returns what is wrong with a file of torch before version 1.6; "" if torch can load it in bounded memory.

    Raises:
        OSError: The file cannot be read.
    """
    size = path.stat().st_size
    # a text whose stated length is beyond the end costs no memory there, as it does in a buffered file
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as stream:
        try:
            for _ in range(PICKLES_BEFORE):
                for _ in _operations(stream):
                    pass
            needed = sum(_storage_bytes(stream).values())
            for _ in _operations(stream):  # of the keys
                pass
        except (ValueError, IndexError, OverflowError):
            return "it is cut or damaged"
    return "" if needed <= size else f"its tensors take {needed} bytes, and it has {size}: it is cut or damaged"


def _operations(stream: mmap) -> Iterator[tuple[str, Any]]:
    """Yields the operations of the next pickle as (name, argument); reads it, and runs nothing."""
    operations = pickletools.genops(cast(IO[bytes], stream))  # it reads as a file does
    for count, (operation, argument, _) in enumerate(operations):
        if count > MAX_OPERATIONS:
            raise ValueError("more operations than any state dict has")
        yield operation.name, argument


def _storage_bytes(stream: mmap) -> dict[str, int]:
    """Returns the bytes that each storage of the next pickle takes, by its key.

    A storage is named by a tuple ("storage", type, key, device, number of items, None).
    """
    memo: list[Any] = []
    stack: list[Any] = []  # the plain values since the last mark
    found: dict[str, int] = {}
    for name, argument in _operations(stream):
        if name == "MARK":
            stack = []
        elif name in TEXTS or name in NUMBERS:
            stack.append(argument)
        elif name == "GLOBAL":
            stack.append(argument.partition(" ")[2])
        elif name in FETCHES:
            stack.append(memo[argument] if argument < len(memo) else None)
        elif name in STORES:
            index = len(memo) if name == "MEMOIZE" else argument
            if index > len(memo):
                raise ValueError("its values are not numbered in order")
            memo[index : index + 1] = [stack[-1] if stack else None]
        elif name == "BINPERSID":
            if "module" in stack[-4:]:  # the source of a whole model, which torch refuses
                continue
            _, kind, key, _, items = stack[-5:]
            if not isinstance(items, int) or items < 0 or not isinstance(key, str):
                raise ValueError("a tensor has no size")
            found[key] = max(found.get(key, 0), items * ITEM_BYTES.get(str(kind), LARGEST_ITEM))
        elif name == "PERSID":
            raise ValueError("it names a tensor as no torch does")
    return found
