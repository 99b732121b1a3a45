"""The names of classes: which are allowed, and matching those of a data set with those of a classifier."""

from __future__ import annotations

import logging

from allweather.runtimes.errors import DataError, UsageError
from allweather.runtimes.text import (
    MAX_CLASSES,
    MAX_CLASSES_BYTES,
    MAX_LABEL_CHARACTERS,
    forbidden_character,
    printable,
)
from allweather.trainers.data.files.names import list_names, same_name

log = logging.getLogger(__name__)


def class_order(data: str, found: tuple[str, ...], wanted: tuple[str, ...]) -> list[int]:
    """Returns for each class of a data set its index among a classifier's classes, which are matched by name.

    Args:
        data: Name of the data set, for the message.
        found: Its classes.
        wanted: The classifier's classes, in the order of its outputs.

    Raises:
        UsageError: One has a class that the other does not have; the message names them.
    """
    if difference := class_difference(found, wanted):
        raise UsageError(
            f"the classifier knows {len(wanted)} classes ({', '.join(wanted[:3])}, ...) and {data} has {len(found)} "
            f"({', '.join(found[:3])}, ...): {difference}; name the data that it was trained on"
        )
    place = {same_name(name): index for index, name in enumerate(wanted)}
    return [place[same_name(name)] for name in found]


def class_difference(found: tuple[str, ...], wanted: tuple[str, ...]) -> str:
    """Returns which classes are missing and which are there beyond those wanted; "" if they are the same.

    Args:
        found: Classes of a data set.
        wanted: Classes that it should have, in any order.
    """
    there, asked = {same_name(name) for name in found}, {same_name(name) for name in wanted}
    missing = [name for name in wanted if same_name(name) not in there]
    extra = [name for name in found if same_name(name) not in asked]
    parts = [f"it lacks {list_names(missing)}"] if missing else []
    return " and ".join(parts + ([f"it also has {list_names(extra)}"] if extra else []))


def check_class_names(classes: object) -> None:
    """Checks the classes of a data set or classifier: different texts that any file and screen can hold.

    Raises:
        DataError: They are something else.
    """
    if not isinstance(classes, tuple) or not all(isinstance(name, str) for name in classes):
        raise DataError(f"the classes of a data set are a tuple of texts; got {classes!r:.80}")
    if len(classes) > MAX_CLASSES:
        raise DataError(f"a classifier has at most {MAX_CLASSES} classes; got {len(classes)}: put some together")
    size = sum(len(name.encode(errors="replace")) for name in classes)
    if size > MAX_CLASSES_BYTES:
        raise DataError(f"the names of all classes have at most {MAX_CLASSES_BYTES} bytes; got {size}: shorten them")
    seen = set[str]()
    for form in map(same_name, classes):
        if form in seen:
            raise DataError(f"each class has a name of its own; {printable(form)!r} is there twice")
        seen.add(form)
    for name in classes:
        if not name.strip():
            raise DataError(f"a class has the name {printable(name)!r}, which names nothing; rename it")
        if len(name) > MAX_LABEL_CHARACTERS:
            raise DataError(
                f"the class {printable(name[:20])!r}... has {len(name)} characters; at most {MAX_LABEL_CHARACTERS} are "
                "possible: rename it"
            )
        if letter := forbidden_character(name):
            raise DataError(
                f"the class {printable(name)!r} holds {letter}, which files and screens cannot hold; rename it"
            )


def warn_of_flips(classes: tuple[str, ...], hflip: bool) -> None:
    """Warns if images are flipped horizontally and the names of two classes differ by left and right alone.

    Args:
        classes: Names of the classes.
        hflip: Whether images are flipped.
    """
    names = {name.casefold(): name for name in classes}
    for form, name in names.items():
        other = names.get(form.replace("left", "right"), name)
        if hflip and other != name:
            log.warning(
                "half of the images are flipped horizontally, and %s and %s seem to be flipped images of each other; "
                "if so, leave that out: --no-hflip, train.hflip: false in a file of create, in Python hflip=False",
                printable(name), printable(other),
            )  # fmt: skip
            return
