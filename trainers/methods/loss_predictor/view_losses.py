"""What a loss predictor learns from: a frozen classifier's loss on every view of corrupted pictures (Kim et al., 3.4).

It is computed once and kept in shards, so that a kill costs one shard, and every predictor for a classifier learns from
the same numbers.
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
from torch import Tensor, nn
from torch.nn import functional

from allweather.runtimes.errors import CheckpointError, UsageError
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.tta.views import VIEWS
from allweather.trainers.checkpoint import tensor_file
from allweather.trainers.corruptions.catalogue import COMMON, CORRUPTIONS
from allweather.trainers.corruptions.sets.corrupted_copies import FAMILIES, CopySettings, corrupted_copies
from allweather.trainers.data.dataset import Split
from allweather.trainers.models.registry import weights_digest
from allweather.trainers.training.inference import logits

SHARD = 500  # pictures before corruption


@dataclass(frozen=True)
class ViewLosses:
    """Corrupted pictures and what a classifier makes of each of their views.

    Attributes:
        images: uint8 [n, s, s, 3], as the predictor sees them.
        losses: float32 [n, V], cross-entropy of the classifier in nats, one column a view of `VIEWS`.
        right: bool [n, V], whether it was right.
        source: int64 [n], number of the picture before corruption.
        kind: int64 [n], place in `COMMON` of the corruption, -1 for clean pictures.
    """

    images: Tensor
    losses: Tensor
    right: Tensor
    source: Tensor
    kind: Tensor

    def __len__(self) -> int:
        """Number of corrupted pictures."""
        return len(self.source)

    def take(self, index: Tensor) -> ViewLosses:
        """The rows of those numbers (int64 [m]), copied."""
        return ViewLosses(*(getattr(self, name)[index] for name in COLUMNS))

    def fold(self, number: int = 0, folds: int = 5) -> tuple[ViewLosses, ViewLosses]:
        """All but one fold, and that one: no picture has copies in both."""
        out = self.source % folds == number
        return self.take((~out).nonzero()[:, 0]), self.take(out.nonzero()[:, 0])

    def without(self, family: str) -> ViewLosses:
        """The rows that no corruption of a family has touched.

        Raises:
            UsageError: there is no such family.
        """
        if family not in FAMILIES:
            raise UsageError(f"a corruption family is one of {', '.join(FAMILIES)}; got {family!r}")
        others = [-1, *(place for place, name in enumerate(COMMON) if CORRUPTIONS[name].family != family)]
        return self.take(torch.isin(self.kind, torch.tensor(others)).nonzero()[:, 0])


COLUMNS = tuple(part.name for part in dataclasses.fields(ViewLosses))


def view_losses(
    model: nn.Module,
    split: Split,
    seen: InputSpec,
    copy_settings: CopySettings,
    folder: Path,
    *,
    fabric: Fabric,
    watch: Callable[[int, int], None] = lambda done, total: None,
) -> ViewLosses:
    """Computes what is not in the folder yet, each process its share, and reads all of it.

    Args:
        model: the frozen classifier: float [n, 3, h, w] in 0..1 -> float [n, C]; put into eval mode.
        split: pictures of its size, on the CPU. The classifier remembers its own training pictures, so that the losses
            of others tell more.
        seen: size of what the predictor sees.
        corrupting: see there.
        folder: of the shards.
        fabric: launched.
        watch: told of (shards done, shards in all).

    Raises:
        UsageError: the folder holds losses of another classifier, or of other pictures or settings.
        OutputError: it cannot be written to.
    """
    resume_key = _resume_key(model, split, seen, copy_settings)
    places = [folder / f"{number:05}.safetensors" for number in range(-(-len(split) // SHARD))]
    model = model.to(fabric.device)
    for number, place in enumerate(places):
        watch(number, len(places))
        if number % fabric.world_size == fabric.global_rank and _read(place, resume_key) is None:
            found = _shard(model, split, seen, copy_settings, number)
            tensor_file.write(place, {name: getattr(found, name) for name in COLUMNS}, resume_key)
    watch(len(places), len(places))
    fabric.barrier()
    shards = [_read(place, resume_key) for place in places]
    return ViewLosses(*(torch.cat([getattr(each, name) for each in shards]) for name in COLUMNS))


def _shard(model: nn.Module, split: Split, seen: InputSpec, copy_settings: CopySettings, number: int) -> ViewLosses:
    rng = np.random.default_rng([copy_settings.seed, number])
    source = torch.arange(number * SHARD, min((number + 1) * SHARD, len(split))).repeat(copy_settings.copies)
    images, kinds = corrupted_copies(split.images[source].numpy(), copy_settings, rng)
    labels = split.labels[source]
    losses, right, device = [], [], next(model.parameters()).device
    for view in VIEWS.values():
        looked = torch.from_numpy(np.stack([view.apply(image) for image in images]))
        answers = logits(model, looked.to(device)).cpu()
        losses.append(functional.cross_entropy(answers, labels, reduction="none"))
        right.append(answers.argmax(1) == labels)
    small = torch.from_numpy(np.stack([seen.prepare(image) for image in images]))
    return ViewLosses(small, torch.stack(losses, 1), torch.stack(right, 1), source, torch.from_numpy(kinds))


def _resume_key(model: nn.Module, split: Split, seen: InputSpec, copy_settings: CopySettings) -> dict[str, Any]:
    """What must be the same for shards to belong together, in plain values."""
    digest = hashlib.sha256(split.labels.cpu().numpy().data)
    digest.update(np.ascontiguousarray(split.images.cpu().numpy()).data)
    return {
        "classifier": weights_digest(model),
        "pictures": [len(split), digest.hexdigest()[:16]],
        "seen": [seen.height, seen.width],
        "views": list(VIEWS),
        "corrupting": dataclasses.asdict(copy_settings),
    }


def _read(place: Path, resume_key: dict[str, Any]) -> ViewLosses | None:
    """A finished shard; None where there is none or it is damaged.

    Raises:
        UsageError: it is of something else.
    """
    try:
        tensors, found = tensor_file.read(place)
    except CheckpointError:
        return None
    if found is None or found.get("classifier") != resume_key["classifier"]:
        theirs = (found or {}).get("classifier", "none")
        raise UsageError(
            f"{place.parent} holds view losses of another classifier ({theirs}, not {resume_key['classifier']}); "
            "name another folder, or delete it"
        )
    other = _differing(found, resume_key)
    if other:
        raise UsageError(f"{place.parent} holds view losses of other {other[0]}; name another folder, or delete it")
    return ViewLosses(**tensors)


def _differing(found: dict[str, Any], resume_key: dict[str, Any]) -> Sequence[str]:
    return [key for key, value in resume_key.items() if found.get(key) != value]
