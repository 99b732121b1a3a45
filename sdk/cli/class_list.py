"""The option --classes: class names on the command line, or in a file with one on each line."""

from __future__ import annotations

from pathlib import Path

from allweather.runtimes.errors import DataError, UsageError, first_line

CIFAR10 = "airplane,automobile,bird,cat,deer,dog,frog,horse,ship,truck"
CLASSES_HELP = (
    "cifar10, the class names separated by commas, or a text file with one on each line; in the order of the outputs."
)
MAX_FILE_BYTES = 32 << 20  # 100,000 classes with long names


def parse_classes(text: str) -> tuple[str, ...]:
    """Returns the class names that --classes gives.

    Args:
        text: "cifar10", names separated by commas, or the path of a text file (UTF-8), in which names may hold commas.

    Raises:
        UsageError: There are fewer than two names, or names that no data set can have, or the file cannot be read.
    """
    from allweather.trainers.data.class_names import check_class_names

    file = Path(text)
    if "," not in text and text != "cifar10":
        names = tuple(_lines(file))
    else:
        names = tuple(name.strip() for name in (CIFAR10 if text == "cifar10" else text).split(","))
    if len(names) < 2 or not all(names):
        raise UsageError(
            "--classes is cifar10, class names separated by commas, or a text file with one on each line; "
            f"got {text[:200]!r} with {len(names)}"
        )
    try:
        check_class_names(names)
    except DataError as error:
        raise UsageError(f"--classes: {error}") from error
    return names


def _lines(file: Path) -> list[str]:
    """Returns the lines of a text file, without empty ones at its end."""
    try:
        if file.exists() and not file.is_file():  # a pipe may never be written to, and a device never end
            raise UsageError(f"--classes: {file} is a folder, a pipe or a device; name a text file")
        if file.stat().st_size > MAX_FILE_BYTES:
            raise UsageError(f"--classes: {file} is too large for a list of class names; name another file")
        text = file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"--classes: {file} is no text in UTF-8; save it as that") from error
    except (OSError, ValueError) as error:
        raise UsageError(
            f"--classes is cifar10, class names separated by commas, or a text file; {str(file)[:200]!r} is none of "
            f"them ({first_line(error)})"
        ) from error
    return [line.strip() for line in text.rstrip().splitlines()]
