"""Hashes of what stages are made from."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np

from allweather.runtimes.errors import UsageError, first_line
from allweather.trainers.checkpoint.checkpoint import Checkpoint
from allweather.trainers.data.dataset import Dataset, Split
from allweather.trainers.models.classifier import weights_digest

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
    """Returns a hash of a network of the user's own: its layers, and the weights that it starts from."""
    model = network.classifier()
    return hashlib.sha256(f"{model} {weights_digest(model)}".encode()).hexdigest()


def file_digest(path: Path) -> str:
    """Returns the hash of a file and of those that belong to it: the weights of OpenVINO IR, external data of ONNX.

    Raises:
        UsageError: It cannot be read.
    """
    digest = hashlib.sha256()
    beside = [path.with_suffix(".bin"), *sorted(path.parent.glob(f"{path.name}*data"))]
    try:
        for each in (path, *(other for other in beside if other.is_file())):
            with each.open("rb") as file:
                while part := file.read(1 << 20):
                    digest.update(part)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {first_line(error)}") from error
    return digest.hexdigest()
