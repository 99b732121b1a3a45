"""The classes of shards, and which of them a label means: labels are texts, of numbers or of names."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from itertools import count, islice
from pathlib import Path

from allweather.runtimes.errors import DataError
from allweather.runtimes.text import printable
from allweather.trainers.data.class_names import check_class_names
from allweather.trainers.data.files.names import list_names, same_name

CLASSES_FILE = "classes.txt"  # beside the first shard, with the name of a class in each line
MAX_FILE_BYTES = 1 << 24
UNKNOWN = -1
_NUMBER = re.compile(r"[+-]?[0-9]{1,18}", re.ASCII)


def read_class_names(path: Path, shown: str) -> tuple[str, ...]:
    """Returns the names in a file of classes, in the order of their numbers.

    Args:
        path: The file, in UTF-8.
        shown: How messages name it.

    Raises:
        DataError: It cannot be read, or does not hold at least two different names.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"{shown} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{shown} is not in UTF-8; save it as UTF-8") from error
    if len(content) > MAX_FILE_BYTES:
        raise DataError(f"{shown} has more than {MAX_FILE_BYTES} bytes; it holds the name of a class in each line")
    names = tuple(line.strip() for line in text.rstrip().split("\n"))
    try:
        check_class_names(names)
    except DataError as error:
        raise DataError(f"{shown}: {error}") from error
    if len(names) < 2:
        raise DataError(f"{shown} holds {len(names)} name; a data set has two classes or more")
    return names


def classes_of_labels(texts: Collection[str]) -> tuple[str, ...]:
    """Returns the classes that the labels of train make up: numbers in their order, or names in that of the alphabet.

    Args:
        texts: The different labels of train.

    Raises:
        DataError: There are fewer than two, or they are numbers, and some from 0 on are missing.
    """
    numbers = _numbers(texts)
    if numbers is None:
        names = tuple(sorted({same_name(text): text for text in sorted(texts)}.values()))
    else:
        known = set(numbers.values())
        if (low := min(known)) < 0:
            raise DataError(f"a label of train is the number {low}; labels are numbers from 0 on, or names")
        if absent := max(known) + 1 - len(known):
            first = islice((str(number) for number in count() if number not in known), min(absent, 5))
            raise DataError(
                f"labels of train are numbers up to {max(known)}, but there is none of {', '.join(first)}"
                f"{' and more' if absent > 5 else ''}; add images, or {CLASSES_FILE} beside the first shard, with the "
                "name of a class in each line"
            )
        names = tuple(str(number) for number in sorted(known))
    check_class_names(names)
    if len(names) < 2:
        raise DataError(f"all images of train have the label {printable(names[0])!r}; at least two classes are needed")
    return names


def label_table(texts: Sequence[str], classes: tuple[str, ...]) -> list[int]:
    """Returns for each label the index of its class, or -1 if it means none.

    Args:
        texts: The different labels of all splits. A number is the index of a class, unless some labels are names.
        classes: Names of the classes.
    """
    of_name: Mapping[str, int] = {same_name(name): index for index, name in enumerate(classes)}
    numbers = _numbers(texts)
    if numbers is None:
        return [of_name.get(same_name(text), UNKNOWN) for text in texts]
    return [number if 0 <= (number := numbers[text]) < len(classes) else UNKNOWN for text in texts]


def unknown_label(text: str, image: str, classes: Sequence[str], where: str) -> DataError:
    """Returns the error of an image whose label is none of the classes.

    Args:
        text: The label.
        image: Name of the image and its shard.
        classes: Names of the classes.
        where: Where the classes come from.
    """
    named = f"0 to {len(classes) - 1}" if _NUMBER.fullmatch(text) else list_names(classes)
    return DataError(f"the label {printable(text[:80])!r} of {image} is none of {where} ({named}); correct one of them")


def _numbers(texts: Collection[str]) -> dict[str, int] | None:
    """Returns the numbers that labels stand for; None if one of them is a name."""
    if not all(_NUMBER.fullmatch(text) for text in texts):
        return None
    return {text: int(text) for text in texts}
