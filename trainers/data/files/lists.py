"""Finds the files of a data set that a list names: a row for each image, with its path, label and perhaps split."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath

from allweather.runtimes.errors import DataError
from allweather.runtimes.system.path_argument import as_path
from allweather.runtimes.text import printable
from allweather.trainers.data.files.labeled_files import (
    UNKNOWN_BYTES,
    FoundFiles,
    ImageFile,
    LabeledFiles,
    SplitFiles,
    unknown_classes,
)
from allweather.trainers.data.files.names import SPLIT_NAMES, list_names, same_name, split_of
from allweather.trainers.data.files.rows import Row, read_rows


def find_list(file: Path | str) -> LabeledFiles:
    """Finds the files that a list names, and what cannot be right about them.

    Args:
        file: The list, as `read_rows` takes it. Paths in it are relative to its folder. The splits are called as the
            folders of a folder data set are; without them all images are training images.

    Raises:
        DataError: The list is missing or damaged, or names no training image.
    """
    file = as_path(file)
    name = printable(file.name)
    rows = read_rows(file)
    problems = _row_problems(name, rows)
    splits: dict[str, dict[str, dict[str, None]]] = defaultdict(lambda: defaultdict(dict))
    repeated, spelled = 0, dict[str, str]()
    for row in rows:
        split = split_of(row.split or "train")
        if split is None or not row.path.strip() or not row.label.strip() or "\0" in row.path:
            continue  # one of the problems
        label = spelled.setdefault(same_name(row.label), row.label)
        paths = splits[split][label]
        path = str(PurePath(row.path))  # ./a.png is a.png
        repeated += path in paths
        paths[path] = None
    if "train" not in splits:
        again = "; to evaluate alone, name the images of test a second time, with the split train"
        cure = again if "test" in splits else ""
        raise DataError(problems[0] if problems else f"the list {file} has no image of train, to learn from{cure}")
    found = {split: _split_files(split, file.parent, splits[split]) for split in SPLIT_NAMES if split in splits}
    problems += [*_class_problems(name, found), *unknown_classes(found), *_file_problems(file, found)]
    notes = (f"{name} names {repeated} files again, which are used once",) if repeated else ()
    without = f"{name} lists no image of {{split}}"
    return LabeledFiles(f"list:{name}", file.parent, found, without, notes, tuple(map(printable, problems)))


def list_classes(file: Path | str) -> tuple[str, ...]:
    """Returns the names of the classes, which are the labels of the training images, sorted; decodes no image.

    Raises:
        DataError: The list cannot be read, or has fewer than two classes.
    """
    found = find_list(file)
    if len(found.classes) < 2:
        raise DataError(found.problems[0])
    return found.classes


def _split_files(split: str, folder: Path, files: dict[str, dict[str, None]]) -> SplitFiles:
    classes = {
        label: FoundFiles(tuple(_image_file(folder / path) for path in sorted(files[label])), {}, (), ())
        for label in sorted(files)
    }
    return SplitFiles(split, folder, "", classes)


def _image_file(path: Path) -> ImageFile:
    try:
        return ImageFile(path, path.stat().st_size)
    except OSError:  # told when the file is read
        return ImageFile(path, UNKNOWN_BYTES)


def _row_problems(name: str, rows: Sequence[Row]) -> list[str]:
    problems = [
        *_lines(name, "no path", "write one, or remove the line", (row for row in rows if not row.path.strip())),
        *_lines(name, "a path with a character NUL", "correct it", (row for row in rows if "\0" in row.path)),
        *_lines(name, "no label", "write one, or remove the line", (row for row in rows if not row.label.strip())),
    ]
    if any(row.split for row in rows):
        problems += _lines(name, "no split", "write train, val or test", (row for row in rows if not row.split))
    unknown = Counter(row.split for row in rows if row.split and split_of(row.split) is None)
    for split in unknown:
        what = f"the split {split[:40]!r}"
        problems += _lines(name, what, "splits are train, val and test", (row for row in rows if row.split == split))
    return problems


def _lines(name: str, what: str, cure: str, rows: Iterable[Row]) -> list[str]:
    lines = [row.line for row in rows]
    if not lines:
        return []
    return [f"{name} has {what} in {len(lines)} line{'s' * (len(lines) > 1)}, such as line {lines[0]}; {cure}"]


def _class_problems(name: str, found: dict[str, SplitFiles]) -> list[str]:
    classes = found["train"].classes
    if len(classes) < 2:
        return [f"{name} has the one class {next(iter(classes))!r} in train, and at least two are needed; add images"]
    problems = []
    for files in found.values():
        labels: dict[Path, list[str]] = defaultdict(list)
        for label, each in files.classes.items():
            for image in each.images:
                labels[image.path].append(label)
        if twice := {path: names for path, names in labels.items() if len(names) > 1}:
            path, names = next(iter(twice.items()))
            problems.append(
                f"{name} gives two labels or more to {len(twice)} of its files, such as {list_names(names)} to "
                f"{files.shown(path)}; keep one"
            )
    return problems


def _file_problems(file: Path, found: dict[str, SplitFiles]) -> list[str]:
    images = [image for files in found.values() for each in files.classes.values() for image in each.images]
    if any(image.size != UNKNOWN_BYTES or os.path.lexists(image.path) for image in images):
        return []
    slashes = ", with / and not \\ between folders" if "\\" in images[0].path.name else ""
    return [
        f"none of the {len(images)} files that {file.name} names is there, such as {images[0].path}; paths are "
        f"relative to the folder of the list{slashes}"
    ]
