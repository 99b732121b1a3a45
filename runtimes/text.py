"""Text from users, files and other libraries as it leaves the program: class names, paths, addresses, messages.

Everything that shows such text takes it through here, so that no stream, terminal or renderer meets a character that it
cannot hold or would obey. Markup is not dealt with here: each renderer has a switch or an escape of its own for it.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

MAX_LABEL_CHARACTERS = 256  # of the name of a class; the longest one of ImageNet has 121
MAX_CLASSES = 100_000  # of a classifier; ImageNet-21k has 21,841
MAX_CLASSES_BYTES = 8 << 20  # of their names together, in UTF-8, so that a bundle's manifest can hold them

NOT_IN_JSON: Mapping[str, object] = {"in_json": False}  # metadata of a field of a dataclass, such as arrays

# joiners that Python does not call printable: words of Persian and Indic scripts and many emoji need them
_JOINERS = "\u200c\u200d"
# embeddings, overrides and isolates, which show a text in another order than that of its letters
_BIDIRECTIONAL = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
# what JSON may hold as it is, although a terminal would obey it or a reader of lines would end the line there
_UNSAFE_IN_JSON = re.compile("[\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    """Returns `text` as one line that any stream of UTF-8 holds and no terminal obeys, with "?" for other characters.

    These are control characters, line ends, surrogates (what a name that is not UTF-8 is read as), characters that turn
    the direction of writing around, and those that Unicode has not assigned. The number of characters stays the same.
    """
    if text.isprintable():
        return text
    return "".join(letter if _is_shown(letter) else "?" for letter in text)


def _is_shown(letter: str) -> bool:
    return letter.isprintable() or letter in _JOINERS or unicodedata.category(letter) == "Zs"


def forbidden_character(label: str) -> str:
    """Returns what the first character is that no class name may hold, such as "U+001B"; "" if there is none.

    Refused are control characters, line ends, surrogates, and characters that turn the direction of writing around.
    """
    if label.isprintable():
        return ""
    for letter in label:
        if unicodedata.category(letter) in {"Cc", "Cs", "Zl", "Zp"} or letter in _BIDIRECTIONAL:
            return f"U+{ord(letter):04X}"
    return ""


def shortened(text: str, limit: int) -> str:
    """Returns `text` with at most `limit` characters; what is left out of a longer one is marked by "..."."""
    return text if len(text) <= limit else f"{text[: limit - 3].rstrip()}..."


def valid_unicode(text: str) -> str:
    r"""Returns `text` with "\\udce9" in letters for a lone surrogate, which neither UTF-8 nor strict JSON can hold."""
    return text.encode("utf-8", "backslashreplace").decode()


def json_line(value: Any) -> str:
    """Returns a value of JSON as one line without its end, in letters that can be read; control characters are escaped.

    Raises:
        ValueError: It holds nan or infinity, which JSON does not have; see `to_json`.
    """
    return _UNSAFE_IN_JSON.sub(_escape, json.dumps(value, ensure_ascii=False, allow_nan=False))


def _escape(found: re.Match[str]) -> str:
    code = f"\\u{ord(found[0]):04x}"
    return "\\" + code if unicodedata.category(found[0]) == "Cs" else code  # as `valid_unicode` shows it


def to_json(value: Any) -> Any:
    """Returns a value as JSON can hold it.

    Dataclasses become objects, tuples lists, nan and infinity null; lone surrogates see `valid_unicode`. Fields whose
    metadata is `NOT_IN_JSON` are left out.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [each.name for each in dataclasses.fields(value) if each.metadata.get("in_json", True)]
        value = {name: getattr(value, name) for name in names}
    if isinstance(value, Mapping):
        return {valid_unicode(str(key)): to_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, int | float | bool | None) else valid_unicode(str(value))
