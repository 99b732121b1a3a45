"""Which tar files a pattern names, and which split each of them belongs to."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit, urlunsplit

from allweather.runtimes.errors import DataError, UsageError, first_line
from allweather.runtimes.redaction import redacted
from allweather.runtimes.text import printable
from allweather.trainers.data.files.names import split_of
from allweather.trainers.data.shards.library import import_webdataset

JOINED = "::"  # between patterns
MAX_SHARDS = 1_000_000
_URL = re.compile(r"https?://", re.IGNORECASE)
_RANGE = re.compile(r"\{(-?\d{1,18})\.\.(-?\d{1,18})")
_NO_LETTERS = re.compile(r"[\W\d_]+")


def is_url(location: str) -> bool:
    """Returns whether a shard is fetched by HTTP."""
    return bool(_URL.match(location))


def shown(location: str) -> str:
    """Returns a path, a URL or a pattern as messages have it: without a password."""
    parts = (redacted(part) if "://" in part else part for part in location.split(JOINED))
    return printable(JOINED.join(parts))


def short_name(pattern: str) -> str:
    """Returns the name of a data set: its pattern without the folders that all shards lie in."""
    parts = shown(pattern).split(JOINED)
    return JOINED.join(part[part.partition("{")[0].rfind("/") + 1 :] for part in parts)


def expand_pattern(pattern: str) -> list[str]:
    """Returns the paths and URLs that a pattern with braces names, in their order, whether they exist or not.

    Args:
        pattern: Such as `shards/{train,val}-{000..009}.tar`, as the webdataset library expands it.

    Raises:
        UsageError: It cannot be expanded, or names something else than files and URLs of HTTP.
        DependencyError: The webdataset library is not installed.
    """
    if math.prod(abs(int(last) - int(first)) + 1 for first, last in _RANGE.findall(pattern)) > MAX_SHARDS:
        raise UsageError(f"{shown(pattern)} names more than {MAX_SHARDS} shards; correct the numbers in braces")
    library = import_webdataset()
    try:
        locations = list(dict.fromkeys(library.expand_urls(pattern)))
    except (ValueError, AssertionError) as error:  # braces that do not match; an environment variable that is not set
        raise UsageError(
            f"{shown(pattern)} is no pattern of shards such as shards/{{train,val}}-{{000..009}}.tar: "
            f"{shown(first_line(error))}"
        ) from error
    for location in locations:
        if not is_url(location) and ("://" in location or location.startswith("pipe:")):
            scheme = printable(location.partition(":")[0][:20])
            raise UsageError(f"shards are files or lie at http:// or https://; got {scheme}: of {shown(pattern)}")
        if "\0" in location:
            raise UsageError(f"{shown(pattern)} holds a character NUL, which no path has; remove it")
    return locations


def divide_by_split(locations: Sequence[str]) -> dict[str, list[str]]:
    """Returns the shards of each split, by "train", "val" and "test".

    The names of the files tell, such as imagenet-train-0001.tar; if none does, the folders that they lie in, if there
    are several; if those do not, all are train.

    Args:
        locations: Paths and URLs.

    Raises:
        DataError: A name could be of two splits, only some names tell one, or none is train.
    """
    paths = [PurePosixPath(unquote(urlsplit(each).path) if is_url(each) else each) for each in locations]
    found = [_split(path.name) for path in paths]
    if not any(found) and len({path.parent for path in paths}) > 1:
        found = [_split(path.parent.name) for path in paths]
    if not any(found):
        return {"train": list(locations)}
    splits: dict[str, list[str]] = {}
    for location, split in zip(locations, found, strict=True):
        if split is None:
            known = locations[[each is not None for each in found].index(True)]
            raise DataError(
                f"{shown(location)} names no split, and {shown(known)} does; name train, val or test in all of them"
            )
        splits.setdefault(split, []).append(location)
    if "train" not in splits:
        raise DataError(f"no shard is called train, to learn from; {shown(locations[0])} is {found[0]}")
    return {split: splits[split] for split in ("train", "val", "test") if split in splits}


def beside(location: str, name: str) -> str:
    """Returns the path or URL of a file beside a shard."""
    if not is_url(location):
        return str(PurePosixPath(location).with_name(name))
    parts = urlsplit(location)
    return urlunsplit((parts.scheme, parts.netloc, parts.path.rpartition("/")[0] + f"/{name}", "", ""))


def _split(name: str) -> str | None:
    splits = {split for part in _NO_LETTERS.split(name) if (split := split_of(part))}
    if len(splits) > 1:
        raise DataError(f"{printable(name)} could be of {' and '.join(sorted(splits))}; keep one of them in its name")
    return splits.pop() if splits else None
