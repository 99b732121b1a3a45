"""Errors that only mean that this process may not use enough memory or threads, and what to do about them."""

from __future__ import annotations

from allweather.runtimes.errors import first_line
from allweather.runtimes.text import printable

# In the messages of the system's loader, C++, Python, torch, OpenVINO and ONNX Runtime.
_WORDS = (
    "failed to map segment", "annot allocate memory", "annot create shared object descriptor", "bad_alloc", "bad alloc",
    "Resource temporarily unavailable", "not enough memory", "out of memory", "DefaultCPUAllocator",
    "can't start new thread", "Failed to allocate memory",
)  # fmt: skip
CURE = "the memory or the number of threads of this process is limited too much (ulimit -v, ulimit -u, the container)"


def is_shortage(error: BaseException) -> bool:
    """Returns whether an error, which any library may have raised, means that memory or threads ran out."""
    return isinstance(error, MemoryError) or any(word in str(error) for word in _WORDS)


def with_cure(error: BaseException, cure: str, line: str | None = None) -> str:
    """Returns an error of another library as one line that ends with what to do.

    Args:
        error: The error.
        cure: What to do if nothing ran out.
        line: The part of its text that names the cause; the first line if None.
    """
    reason = first_line(error) if line is None else printable(line)
    return f"{reason}; {CURE if is_shortage(error) else cure}"
