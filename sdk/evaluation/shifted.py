"""How a classifier stands augmentations it was not trained on (Chen et al., ICCVW 2019, sections 4.4 and 4.5).

Four test sets, the same for every target: the pictures as they are, shifted, in gray, and in other light and color.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from torch import Tensor

from allweather.evaluation.model import EvaluatedModel
from allweather.evaluation.provenance import Provenance
from allweather.runtimes.errors import UsageError
from allweather.runtimes.types import Floats, Image
from allweather.trainers.augmentations.variants import grayscale, random_color_jitter
from allweather.trainers.data.batches import gather, to_float, to_uint8
from allweather.trainers.data.dataset import Dataset, Split

SETS = ("original", "random crop", "grayscale", "random color")
SEED = 41
BATCH = 500
SAMPLES, VARIANTS = 14, 16  # of figure 6
SHIFT = 4  # pixels at 32 px
TINY = 1e-12


@dataclass(frozen=True)
class ShiftRobustness:
    """A classifier measured on the four test sets.

    Attributes:
        provenance: What was evaluated, on which data and machine.
        accuracies: of each set, 0..1.
        divergences: of each two sets: mean symmetric KL divergence of the answers to a picture, in nats (eq. 1).
        distances: likewise the mean Euclidean distance of the features, over their mean length; empty for a bundle,
            which does not tell them.
    """

    provenance: Provenance
    accuracies: Mapping[str, float]
    divergences: Mapping[str, float]
    distances: Mapping[str, float]


def frozen(split: Split, name: str) -> Image:
    """A test set, the same at every call.

    Args:
        split: the pictures.
        name: of `SETS`.

    Returns:
        uint8 [n, h, w, 3], rounded as a camera's.
    """
    rng = torch.Generator().manual_seed(SEED)
    if name == "random crop":
        return np.concatenate([to_uint8(part) for part in _moved(split, rng)])
    if name == "original":
        return split.images.numpy()
    change = grayscale if name == "grayscale" else lambda images: random_color_jitter(images, rng)
    return np.concatenate([to_uint8(change(to_float(part))) for part in torch.split(split.images, BATCH)])


def evaluate_shifted(
    target: EvaluatedModel, dataset: Dataset, *, watch: Callable[[int, int], None] = lambda done, total: None
) -> ShiftRobustness:
    """Measures an open target on the four test sets.

    Args:
        target: see `open_model`.
        dataset: of its classes and size.
        watch: told of (sets done, sets in all).
    """
    answers: dict[str, Floats] = {}
    features: dict[str, Floats] = {}
    for number, name in enumerate(SETS):
        watch(number, len(SETS))
        images = frozen(dataset.test, name)
        answers[name] = _softmax(_batched(target.logits, images))
        if target.features:
            features[name] = _batched(target.features, images)
    watch(len(SETS), len(SETS))
    labels, pairs = dataset.test.labels.numpy(), list(combinations(SETS, 2))
    length = float(np.mean([np.linalg.norm(each, axis=1).mean() for each in features.values()])) if features else 1.0
    return ShiftRobustness(
        provenance=Provenance.of(target, dataset),
        accuracies={name: float((answers[name].argmax(1) == labels).mean()) for name in SETS},
        divergences={f"{a}, {b}": _divergence(answers[a], answers[b]) for a, b in pairs},
        distances={
            f"{a}, {b}": float(np.linalg.norm(features[a] - features[b], axis=1).mean()) / max(length, TINY)
            for a, b in (pairs if features else [])
        },
    )


def clusters(target: EvaluatedModel, dataset: Dataset) -> Floats:
    """Where variants of a few samples lie in feature space, drawn in a plane by t-SNE (figure 6).

    Args:
        target: a checkpoint.
        dataset: its test split has at least 14 pictures.

    Returns:
        float32 [14, 16, 2]: 16 variants, crops of other light and color, of each of 14 samples.

    Raises:
        UsageError: it is a bundle, or there are fewer pictures.
    """
    from sklearn.manifold import TSNE

    if target.features is None:
        raise UsageError(f"{target.path} is a bundle and does not tell its features; name its checkpoint")
    if len(dataset.test) < SAMPLES:
        raise UsageError(f"{SAMPLES} test pictures are needed to draw their variants; {dataset.name} has fewer")
    rng = torch.Generator().manual_seed(SEED)
    some = torch.linspace(0, len(dataset.test) - 1, SAMPLES).long().repeat_interleave(VARIANTS)
    images = to_uint8(random_color_jitter(torch.cat(list(_moved(dataset.test.take(some), rng))), rng))
    placed = TSNE(perplexity=VARIANTS - 1, init="pca", random_state=SEED).fit_transform(target.features(images))
    return np.asarray(placed, np.float32).reshape(SAMPLES, VARIANTS, 2)


def _moved(split: Split, rng: torch.Generator) -> Iterator[Tensor]:
    """Each picture moved at random, as in training but not mirrored; in batches."""
    most, count = round(SHIFT * split.images.shape[1] / 32), len(split)
    moves = torch.randint(-most, most + 1, (count, 2), generator=rng)
    for some in torch.split(torch.arange(count), BATCH):
        yield gather(split, some, moves[some], torch.zeros(len(some), dtype=torch.bool))[0]


def _batched(run: Callable[[Image], Floats], images: Image) -> Floats:
    return np.concatenate([run(images[first : first + BATCH]) for first in range(0, len(images), BATCH)])


def _softmax(logits: Floats) -> Floats:
    shifted = np.exp(logits - logits.max(1, keepdims=True))
    return np.asarray(shifted / shifted.sum(1, keepdims=True), np.float32)


def _divergence(one: Floats, other: Floats) -> float:
    logs = np.log(one.astype(np.float64) + TINY) - np.log(other.astype(np.float64) + TINY)
    return float(((one - other) * logs).sum(1).mean())
