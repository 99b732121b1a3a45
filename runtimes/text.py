"""Text from users, files and other libraries as it leaves the program: class names, paths, addresses, messages.

Everything that shows such text takes it through here, so that no stream, terminal or renderer meets a character that it
cannot hold or would obey.
"""

from __future__ import annotations


def printable(text: str) -> str:
    """Returns `text` as one line without control characters. For text from files and from other libraries."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
