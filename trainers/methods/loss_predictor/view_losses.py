"""Training targets of a loss predictor: a frozen classifier's loss on every view of corrupted images (Kim et al., 3.4).

The losses are computed once and kept in files, the shards. A process that is killed therefore loses at most one shard,
and every predictor for a classifier can be trained on the same targets.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional

from allweather.runtimes.errors import CheckpointError, OutputError, UsageError, unknown_name
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.system.memory import allocate
from allweather.runtimes.system.path_argument import as_path
from allweather.runtimes.tta.views import VIEWS
from allweather.trainers.checkpoint import tensor_file
from allweather.trainers.corruptions.catalogue import COMMON, CORRUPTIONS
from allweather.trainers.corruptions.corruption import FAMILIES
from allweather.trainers.corruptions.sets.corrupted_copies import CopySettings
from allweather.trainers.data.split import LabeledImages, NoReadableImageError, Split
from allweather.trainers.inference.frozen_classifier import FrozenClassifier
from allweather.trainers.methods.loss_predictor.corrupted_shard import (
    SHARD_IMAGES,
    CorruptedShard,
    images_per_shard,
    shards_ahead,
    thread_count,
    views_ahead,
)

if TYPE_CHECKING:
    from lightning_fabric import Fabric


@dataclass(frozen=True)
class ViewLosses:
    """Corrupted images, and a classifier's results on each of their views.

    Attributes:
        images: uint8 [n, s, s, 3], at the input size of the predictor; on disk if they are too many for memory.
        losses: float32 [n, V], cross-entropy of the classifier in nats, with one column for each view.
        correct: bool [n, V], whether the classifier's prediction is correct.
        source: int64 [n], row in the split of the image before corruption.
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
        columns = {name: getattr(self, name)[indices] for name in TENSORS if name != "images"}
        images = Split(self.images, self.source).take(indices).images  # which may be too many for memory
        return dataclasses.replace(self, images=images, **columns)

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
    split: LabeledImages,
    spec: InputSpec,
    copy_settings: CopySettings,
    folder: Path | str,
    *,
    fabric: Fabric,
    views: Sequence[str] = tuple(VIEWS),
    watch: Callable[[int, int], None] = lambda done, total: None,
) -> ViewLosses:
    """Computes the shards that the folder does not hold yet, shared by all processes, and reads all of them.

    While the classifier runs, threads corrupt the images of the next shard and prepare the next views; the results do
    not depend on how many threads there are. Images that cannot be read are left out.

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
        DataError: None of the images can be read, or a process that reads them has ended.
        OutputError: The folder cannot be written, or another process has left out a shard.
    """
    folder, size = as_path(folder), images_per_shard(split.size, copy_settings.copies)
    resume_key = _resume_key(classifier, split, spec, copy_settings, views, size)
    paths = [folder / f"{index:05}.safetensors" for index in range(-(-len(split) // size))]
    mine = range(fabric.global_rank, len(paths), fabric.world_size)
    missing = [index for index in mine if _read(paths[index], resume_key) is None]
    with ThreadPoolExecutor(thread_count()) as threads:
        shards = shards_ahead(split, missing, size, spec, copy_settings, threads)
        for index, path in enumerate(paths):
            watch(index, len(paths))
            if index in missing:
                tensor_file.write(path, _classified(classifier, next(shards), views, threads), resume_key)
    watch(len(paths), len(paths))
    fabric.barrier()
    images = torch.from_numpy(allocate((len(split) * copy_settings.copies, spec.height, spec.width, 3)))
    return _collected(paths, resume_key, images)


def _classified(
    classifier: FrozenClassifier, shard: CorruptedShard, views: Sequence[str], threads: ThreadPoolExecutor
) -> dict[str, Tensor]:
    """Runs the classifier on all views of a shard; returns the columns of `ViewLosses` by name."""
    outputs: dict[str, list[Tensor]] = {name: [] for name in views}
    for name, images in views_ahead(shard, views, threads):
        outputs[name].append(torch.from_numpy(classifier.logits(images)))
    losses = torch.empty((len(shard.labels), len(views)))
    correct = torch.empty(losses.shape, dtype=torch.bool)
    for column, parts in enumerate(outputs.values()):
        if parts:  # none if no image of the shard can be read
            logits = torch.cat(parts)
            losses[:, column] = functional.cross_entropy(logits, shard.labels, reduction="none")
            correct[:, column] = logits.argmax(1) == shard.labels
    return {
        "images": torch.from_numpy(shard.prepared),
        "losses": losses,
        "correct": correct,
        "source": shard.source,
        "corruption": torch.from_numpy(shard.corruption),
    }


def _collected(paths: Sequence[Path], resume_key: dict[str, Any], images: Tensor) -> ViewLosses:
    """Reads all shards into one table; `images` is where their images go, and has room for all of them."""
    columns: dict[str, list[Tensor]] = {name: [] for name in TENSORS if name != "images"}
    count = 0
    for path in paths:
        shard = _read(path, resume_key)
        if shard is None:
            raise OutputError(f"{path} is not there or damaged; all processes need one folder: run it again with one")
        images[count : count + len(shard)] = shard.images
        count += len(shard)
        for name, parts in columns.items():
            parts.append(getattr(shard, name))
    if not count:
        raise NoReadableImageError(f"none of the images can be read; {paths[0].parent} holds no losses: check the data")
    tensors = {name: torch.cat(parts) for name, parts in columns.items()}
    return ViewLosses(images=images[:count], **tensors, views=tuple(resume_key["views"]))


def _resume_key(
    classifier: FrozenClassifier,
    split: LabeledImages,
    spec: InputSpec,
    copy_settings: CopySettings,
    views: Sequence[str],
    shard_images: int,
) -> dict[str, Any]:
    """Returns the plain values that shards must share to belong together."""
    return {
        "classifier_digest": classifier.digest,
        "images": [len(split), split.digest()],
        "input": [spec.height, spec.width],
        "views": list(views),
        "copy_settings": dataclasses.asdict(copy_settings),
        **({} if shard_images == SHARD_IMAGES else {"shard_size": shard_images}),
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
