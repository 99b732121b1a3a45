"""Hashes of what stages are made from."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np

from allweather.exporters.foreign.external_data import external_data_files
from allweather.runtimes.errors import UsageError, first_line
from allweather.trainers.checkpoint.checkpoint import Checkpoint
from allweather.trainers.data.dataset import Dataset, Split
from allweather.trainers.models.classifier import weights_digest
from allweather.trainers.models.own_code import code_digest

BATCH = 256  # images that are hashed at a time, as those of a large data set lie in a file


def data_digest(dataset: Dataset) -> str:
    """Returns a hash of the labels of all splits, and of their pixels, or of the files of streamed images."""
    facts = [dataset.classes, dataset.hflip, len(dataset.train), len(dataset.val), len(dataset.test)]
    digest = hashlib.sha256(json.dumps(facts).encode())
    for split in (dataset.train, dataset.val, dataset.test):
        digest.update(split.labels.numpy().tobytes())
        if isinstance(split, Split):
            for batch in split.batches(BATCH):
                digest.update(np.ascontiguousarray(batch.images.numpy()).data)
        else:  # to hash the pixels, all images would have to be decoded
            digest.update(split.digest().encode())
    return digest.hexdigest()


def network_digest(network: Checkpoint) -> str:
    """Returns a hash of a network of the user's own: its layers, their code, and the weights that it starts from."""
    model = network.classifier()
    return hashlib.sha256(f"{model} {code_digest(model)} {weights_digest(model)}".encode()).hexdigest()


def foreign_digest(path: Path) -> str:
    """Returns the hash of somebody's classifier: of its file, and of the files beside it that hold its weights.

    Raises:
        UsageError: A file cannot be read.
        EngineError: It is a damaged ONNX file, or its external data is missing.
    """
    weights = (path.with_suffix(".bin"),) if path.suffix == ".xml" else external_data_files(path)
    return file_digest(path, *weights)


def file_digest(*paths: Path) -> str:
    """Returns the hash of the contents of files.

    Raises:
        UsageError: One cannot be read.
    """
    digest = hashlib.sha256()
    for path in paths:
        try:
            with path.open("rb") as file:
                while part := file.read(1 << 20):
                    digest.update(part)
        except OSError as error:
            raise UsageError(f"cannot read {path}: {first_line(error)}") from error
    return digest.hexdigest()
