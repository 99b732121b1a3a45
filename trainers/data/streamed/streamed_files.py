"""Streams data sets of image files: finds out what the file system tells, and decodes nothing."""

from __future__ import annotations

import logging
from pathlib import Path

import torch

from allweather.runtimes.cameras.image_files.decode import DAMAGED
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.text import printable
from allweather.trainers.data.file_inventory import DecodedFiles
from allweather.trainers.data.files.labeled_files import LabeledFiles
from allweather.trainers.data.streamed.damaged_images import MAX_NAMED, DamagedImages
from allweather.trainers.data.streamed.image_source import FileSource
from allweather.trainers.data.streamed.reading import Reading
from allweather.trainers.data.streamed.streamed_split import StreamedSplit

log = logging.getLogger(__name__)


def stream_split(
    found: LabeledFiles, name: str, spec: InputSpec, reading: Reading
) -> tuple[StreamedSplit | None, DecodedFiles]:
    """Prepares to stream the files of a split; returns None if it has none, and which files are not there.

    Args:
        found: The files of the data set.
        name: Name of the split.
        spec: Size and crop that every image is brought to.
        reading: How they are read.
    """
    sizes = {file.path: file.size for each in found.splits[name].classes.values() for file in each.images}
    files = [(path, label) for path, label in found.files(name) if sizes[path] > 0]
    missing = {path: _reason(path) for path in found.paths(name) if sizes[path] <= 0}
    for path, reason in list(missing.items())[:MAX_NAMED]:
        log.warning("%s cannot be read as an image and is left out: %s", printable(str(path)), reason)
    if len(missing) > MAX_NAMED:
        log.warning("%d more files cannot be read; allweather inspect counts them", len(missing) - MAX_NAMED)
    if not files:
        return None, DecodedFiles(missing, 0)
    source = FileSource([path for path, _ in files])
    labels = torch.tensor([label for _, label in files])
    split = StreamedSplit(
        source, DamagedImages(source), torch.arange(len(files)).numpy(), labels, spec,
        random_resized=reading.random_resized, workers=reading.processes,
    )  # fmt: skip
    return split, DecodedFiles(missing, 0)


def _reason(path: Path) -> str:
    """Returns why a file that is empty or not there cannot be read."""
    try:
        path.stat()
    except OSError as error:
        return error.strerror or str(error)
    return DAMAGED
