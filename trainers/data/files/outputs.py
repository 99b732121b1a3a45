"""Keeps the images that a command writes out of the folders of those that it reads."""

from __future__ import annotations

from pathlib import Path

from allweather.runtimes.errors import UsageError
from allweather.runtimes.system.hidden_names import is_hidden
from allweather.runtimes.system.path_argument import real_path
from allweather.trainers.data.files.folders import holds_classes
from allweather.trainers.data.files.names import split_of


def check_output_is_no_class(out: Path, data: str, option: str = "--out") -> None:
    """Checks that a folder to write images into will not be read as images of a class.

    Args:
        out: The folder, which need not exist.
        data: Name of the data set; only those of the form `folder:ROOT` read whole folders.
        option: The option that names the folder.

    Raises:
        UsageError: It is the folder of the data set, lies in a class or a split of it, or would be a class of it.
        DataError: The data set's folders could be classes or splits.
    """
    kind, _, root = data.partition(":")
    if kind != "folder" or not root:
        return
    path, parent = real_path(out), real_path(root)
    if path == parent:
        raise UsageError(f"{out} is the folder of {data} itself; name another {option}, outside of {root}")
    if not path.is_relative_to(parent):
        return
    names = path.relative_to(parent).parts
    if any(is_hidden(name) for name in names):
        return
    if split_of(names[0]) or holds_classes(parent):
        raise UsageError(
            f"{out} lies among the images of {data}, which would then have the written ones, too; name another "
            f"{option}, outside of {root}"
        )
