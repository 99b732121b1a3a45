"""Training targets of a loss predictor: a frozen classifier's loss on every view of corrupted images (Kim et al., 3.4).

The losses are computed once and kept in files, the shards. A process that is killed therefore loses at most one shard,
and every predictor for a classifier can be trained on the same targets.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.nn import functional

from allweather.runtimes.errors import CheckpointError, UsageError, unknown_name
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.system.path_argument import as_path
from allweather.runtimes.tta.views import VIEWS, view
from allweather.trainers.checkpoint import tensor_file
from allweather.trainers.corruptions.catalogue import COMMON, CORRUPTIONS
from allweather.trainers.corruptions.corruption import FAMILIES
from allweather.trainers.corruptions.sets.corrupted_copies import CopySettings, corrupted_copies
from allweather.trainers.data.dataset import Split
from allweather.trainers.inference.frozen_classifier import FrozenClassifier

SHARD_IMAGES = 500  # clean images whose corrupted copies make one shard


@dataclass(frozen=True)
class ViewLosses:
    """Corrupted images, and a classifier's results on each of their views.

    Attributes:
        images: uint8 [n, s, s, 3], at the input size of the predictor.
        losses: float32 [n, V], cross-entropy of the classifier in nats, with one column for each view.
        correct: bool [n, V], whether the classifier's prediction is correct.
        source: int64 [n], index of the image before corruption.
        corruption: int64 [n], index in `COMMON` of the corruption, -1 for clean images.
        views: Names of the views, in the order of the columns.
    """

    images: Tensor
    losses: Tensor
    correct: Tensor
    source: Tensor
    corruption: Tensor
    views: tuple[str, ...] = tuple(VIEWS)

    def __len__(self) -> int:
        """Number of corrupted images."""
        return len(self.source)

    def take(self, indices: Tensor) -> ViewLosses:
        """Returns a copy of some rows, given their indices (int64 [m])."""
        return dataclasses.replace(self, **{name: getattr(self, name)[indices] for name in TENSORS})

    def split_fold(self, fold: int = 0, num_folds: int = 5) -> tuple[ViewLosses, ViewLosses]:
        """Returns (the rows of all other folds, those of one fold); copies of an image are always in the same fold."""
        in_fold = self.source % num_folds == fold
        return self.take((~in_fold).nonzero()[:, 0]), self.take(in_fold.nonzero()[:, 0])

    def exclude_family(self, family: str) -> ViewLosses:
        """Returns the rows of clean images and of images with a corruption of another family.

        Raises:
            UsageError: There is no such family.
        """
        if family not in FAMILIES:
            raise unknown_name("corruption family", family, FAMILIES)
        others = [-1, *(index for index, name in enumerate(COMMON) if CORRUPTIONS[name].family != family)]
        return self.take(torch.isin(self.corruption, torch.tensor(others)).nonzero()[:, 0])


TENSORS = tuple(column.name for column in dataclasses.fields(ViewLosses) if column.name != "views")


def compute_view_losses(
    classifier: FrozenClassifier,
    split: Split,
    spec: InputSpec,
    copy_settings: CopySettings,
    folder: Path | str,
    *,
    fabric: Fabric,
    views: Sequence[str] = tuple(VIEWS),
    watch: Callable[[int, int], None] = lambda done, total: None,
) -> ViewLosses:
    """Computes the shards that the folder does not hold yet, shared by all processes, and reads all of them.

    Args:
        classifier: The classifier, in torch or in an engine.
        split: Images of the classifier's input size, on the CPU. Images that the classifier was not trained on give
            better targets, because it has memorized its training images.
        spec: Input of the predictor.
        copy_settings: How the images are corrupted.
        folder: Folder of the shards.
        fabric: A launched Fabric.
        views: Names of the views.
        watch: Called with (shards done, shards in total).

    Raises:
        UsageError: The folder holds losses of another classifier, or of other images, views or settings; or a view is
            unknown.
        OutputError: The folder cannot be written.
    """
    folder = as_path(folder)
    resume_key = _resume_key(classifier, split, spec, copy_settings, views)
    paths = [folder / f"{index:05}.safetensors" for index in range(-(-len(split) // SHARD_IMAGES))]
    for index, path in enumerate(paths):
        watch(index, len(paths))
        if index % fabric.world_size == fabric.global_rank and _read(path, resume_key) is None:
            shard = _shard(classifier, split, spec, copy_settings, views, index)
            tensor_file.write(path, {name: getattr(shard, name) for name in TENSORS}, resume_key)
    watch(len(paths), len(paths))
    fabric.barrier()
    shards = [_read(path, resume_key) for path in paths]
    tensors = {name: torch.cat([getattr(shard, name) for shard in shards]) for name in TENSORS}
    return ViewLosses(**tensors, views=tuple(views))


def _shard(
    classifier: FrozenClassifier,
    split: Split,
    spec: InputSpec,
    copy_settings: CopySettings,
    views: Sequence[str],
    index: int,
) -> ViewLosses:
    rng = np.random.default_rng([copy_settings.seed, index])
    first, last = index * SHARD_IMAGES, min((index + 1) * SHARD_IMAGES, len(split))
    source = torch.arange(first, last).repeat(copy_settings.copies)
    images, corruptions = corrupted_copies(split.images[source].numpy(), copy_settings, rng)
    labels = split.labels[source]
    losses, correct = [], []
    for name in views:
        outputs = torch.from_numpy(classifier.logits(np.stack([view(name).apply(image) for image in images])))
        losses.append(functional.cross_entropy(outputs, labels, reduction="none"))
        correct.append(outputs.argmax(1) == labels)
    return ViewLosses(
        images=torch.from_numpy(np.stack([spec.prepare(image) for image in images])),
        losses=torch.stack(losses, 1),
        correct=torch.stack(correct, 1),
        source=source,
        corruption=torch.from_numpy(corruptions),
        views=tuple(views),
    )


def _resume_key(
    classifier: FrozenClassifier, split: Split, spec: InputSpec, copy_settings: CopySettings, views: Sequence[str]
) -> dict[str, Any]:
    """Returns the plain values that shards must share to belong together."""
    digest = hashlib.sha256(split.labels.cpu().numpy().data)
    digest.update(np.ascontiguousarray(split.images.cpu().numpy()).data)
    return {
        "classifier_digest": classifier.digest,
        "images": [len(split), digest.hexdigest()[:16]],
        "input": [spec.height, spec.width],
        "views": list(views),
        "copy_settings": dataclasses.asdict(copy_settings),
    }


def _read(path: Path, resume_key: dict[str, Any]) -> ViewLosses | None:
    """Reads a finished shard; returns None if it is missing or damaged.

    Raises:
        UsageError: The shard has another resume key.
    """
    try:
        tensors, header = tensor_file.read(path)
    except CheckpointError:
        return None
    header = header or {}
    digest = resume_key["classifier_digest"]
    if header.get("classifier_digest") != digest:
        other = header.get("classifier_digest", "unknown")
        raise UsageError(
            f"{path.parent} holds view losses of another classifier ({other}, not {digest}); "
            "name another folder, or delete it"
        )
    for key, value in resume_key.items():
        if header.get(key) != value:
            raise UsageError(
                f"{path.parent} holds view losses that were computed with other {key.replace('_', ' ')}; "
                "name another folder, or delete it"
            )
    return ViewLosses(**tensors, views=tuple(resume_key["views"]))
