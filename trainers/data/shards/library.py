"""The webdataset library: how shards are named, and which members of a shard are one sample. It reads none here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from allweather.runtimes.errors import DependencyError
from allweather.runtimes.system.isolated_imports import isolated_imports


@dataclass(frozen=True)
class WebDataset:
    """The conventions of the library.

    Attributes:
        expand_urls: Returns the paths and URLs that a pattern with braces names.
        base_plus_ext: Returns the key of a member, and what follows the first dot of its name; None for both if its
            name has neither.
    """

    expand_urls: Callable[[str], list[str]]
    base_plus_ext: Callable[[str], tuple[str | None, str | None]]


def import_webdataset() -> WebDataset:
    """Imports the library.

    Raises:
        DependencyError: It is not installed.
    """
    try:
        with isolated_imports():
            from webdataset.shardlists import expand_urls
            from webdataset.tariterators import base_plus_ext
    except ModuleNotFoundError as error:
        raise DependencyError(
            "webdataset: needs the webdataset library, which is not installed: pip install 'allweather[webdataset]'"
        ) from error
    return WebDataset(expand_urls, base_plus_ext)
