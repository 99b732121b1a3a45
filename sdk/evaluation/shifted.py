"""Evaluation of shift robustness: how predictions and features change under random shifts, gray and other colors.

It follows Chen et al., ICCVW 2019, sections 4.4 and 4.5. The four test sets are the same for every model: the original
images, shifted images, gray images, and images in other light and color.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from torch import Tensor

from allweather.evaluation.provenance import Provenance
from allweather.runtimes.errors import UsageError
from allweather.runtimes.types import Floats, Image
from allweather.trainers.augmentations.variants import grayscale, random_color_jitter
from allweather.trainers.data.batches import gather, to_float, to_uint8
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.data.split import LabeledImages
from allweather.trainers.inference.open_model import BATCH_SIZE, EvaluatedModel

TEST_SETS = ("original", "random crop", "grayscale", "random color")
SEED = 41
NUM_SAMPLES, NUM_VARIANTS = 14, 16  # images and variants of each image in figure 6
MAX_SHIFT = 4  # pixels, for images of 32 px; in proportion for larger ones
EPSILON = 1e-12


@dataclass(frozen=True)
class ShiftRobustness:
    """Result of evaluating a classifier on the four test sets.

    Attributes:
        provenance: What was evaluated, on which data and machine.
        accuracies: Accuracy on each test set, 0..1.
        divergences: For each pair of test sets the symmetric KL divergence between the probabilities for an image, mean
            over the images, in nats (eq. 1).
        distances: For each pair of test sets the Euclidean distance between the features of an image, mean over the
            images, divided by the mean length of the features; empty for a bundle, which does not give its features.
    """

    provenance: Provenance
    accuracies: Mapping[str, float]
    divergences: Mapping[str, float]
    distances: Mapping[str, float]


def shifted_images(clean: LabeledImages, name: str) -> Iterator[Image]:
    """Yields the images of a test set in batches, the same at every call.

    Args:
        clean: The original images.
        name: One of `TEST_SETS`.

    Yields:
        uint8 [<= BATCH_SIZE, h, w, 3], rounded as those of a camera are.
    """
    rng = torch.Generator().manual_seed(SEED)
    if name == "random crop":
        yield from (to_uint8(images) for images in _random_shifts(clean, rng))
        return
    for batch in clean.batches(BATCH_SIZE):
        if name == "original":
            yield batch.images.numpy()
        else:
            images = to_float(batch.images)
            yield to_uint8(grayscale(images) if name == "grayscale" else random_color_jitter(images, rng))


def shifted_evaluation(
    evaluated: EvaluatedModel, dataset: Dataset, *, watch: Callable[[int, int], None] = lambda done, total: None
) -> ShiftRobustness:
    """Evaluates an open model on the four test sets.

    Args:
        evaluated: The model; see `open_model`.
        dataset: A data set of its classes and input size, whose test images can all be read; see `Dataset.readable`.
        watch: Called with (test sets done, test sets in total).
    """
    probabilities: dict[str, Floats] = {}
    features: dict[str, Floats] = {}
    for index, name in enumerate(TEST_SETS):
        watch(index, len(TEST_SETS))
        logits, of_set = [], []
        for images in shifted_images(dataset.test, name):
            logits.append(evaluated.logits(images))
            if evaluated.features:
                of_set.append(evaluated.features(images))
        probabilities[name] = _softmax(np.concatenate(logits))
        if of_set:
            features[name] = np.concatenate(of_set)
    watch(len(TEST_SETS), len(TEST_SETS))
    labels, pairs = dataset.test.labels.numpy(), list(combinations(TEST_SETS, 2))
    length = float(np.mean([np.linalg.norm(each, axis=1).mean() for each in features.values()])) if features else 1.0
    return ShiftRobustness(
        provenance=Provenance.of(evaluated, dataset),
        accuracies={name: float((probabilities[name].argmax(1) == labels).mean()) for name in TEST_SETS},
        divergences={f"{a}, {b}": _symmetric_kl(probabilities[a], probabilities[b]) for a, b in pairs},
        distances={
            f"{a}, {b}": float(np.linalg.norm(features[a] - features[b], axis=1).mean()) / max(length, EPSILON)
            for a, b in (pairs if features else [])
        },
    )


def embed_variants(evaluated: EvaluatedModel, dataset: Dataset) -> Floats:
    """Embeds the features of variants of a few test images in a plane by t-SNE (figure 6).

    Args:
        evaluated: A checkpoint.
        dataset: A data set with at least 14 test images.

    Returns:
        float32 [14, 16, 2]: the position of 16 variants (random crops in other light and color) of each of 14 images.

    Raises:
        UsageError: The model is a bundle, or the data set has fewer images.
    """
    from sklearn.manifold import TSNE

    if evaluated.features is None:
        raise UsageError(f"{evaluated.path} is a bundle, which does not give its features; name its checkpoint")
    if len(dataset.test) < NUM_SAMPLES:
        raise UsageError(
            f"{NUM_SAMPLES} test images are needed to plot their variants; {dataset.name} has {len(dataset.test)}"
        )
    rng = torch.Generator().manual_seed(SEED)
    indices = torch.linspace(0, len(dataset.test) - 1, NUM_SAMPLES).long().repeat_interleave(NUM_VARIANTS)
    shifted = torch.cat(list(_random_shifts(dataset.test.take(indices).loaded(), rng)))
    images = to_uint8(random_color_jitter(shifted, rng))
    tsne = TSNE(perplexity=NUM_VARIANTS - 1, init="pca", random_state=SEED)
    points = tsne.fit_transform(evaluated.features(images))
    return np.asarray(points, np.float32).reshape(NUM_SAMPLES, NUM_VARIANTS, 2)


def _random_shifts(clean: LabeledImages, rng: torch.Generator) -> Iterator[Tensor]:
    """Yields batches of randomly shifted images, as in training but never flipped: float [n, 3, h, w] in 0..1."""
    limit = round(MAX_SHIFT * min(clean.size) / 32)
    shifts = torch.split(torch.randint(-limit, limit + 1, (len(clean), 2), generator=rng), BATCH_SIZE)
    for batch, of_batch in zip(clean.batches(BATCH_SIZE), shifts, strict=True):
        yield gather(
            batch.images, batch.labels, torch.arange(len(batch)), of_batch, torch.zeros(len(batch), dtype=torch.bool)
        )[0]


def _softmax(logits: Floats) -> Floats:
    shifted = np.exp(logits - logits.max(1, keepdims=True))
    return np.asarray(shifted / shifted.sum(1, keepdims=True), np.float32)


def _symmetric_kl(one: Floats, other: Floats) -> float:
    """Returns the symmetric KL divergence of probabilities (float [n, C]), mean over the rows, in nats."""
    logs = np.log(one.astype(np.float64) + EPSILON) - np.log(other.astype(np.float64) + EPSILON)
    return float(((one - other) * logs).sum(1).mean())
