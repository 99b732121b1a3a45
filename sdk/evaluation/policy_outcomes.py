"""Runs test-time augmentation policies on test images: which predictions are correct, and how long they take."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from allweather.evaluation.corrupted import resume_key_of
from allweather.runtimes.errors import UsageError
from allweather.runtimes.system.path_argument import as_path
from allweather.runtimes.tta.aggregate import probabilities
from allweather.runtimes.tta.policy import Policy
from allweather.runtimes.tta.policy_names import parse_policy
from allweather.runtimes.tta.run_views import run_views, steps_without_deadline
from allweather.runtimes.types import Floats, Image
from allweather.trainers.checkpoint import tensor_file
from allweather.trainers.corruptions.corruption import SEVERITIES
from allweather.trainers.corruptions.sets import CorruptedSet, Labels
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.inference.open_model import BATCH_SIZE, EvaluatedModel
from allweather.trainers.losses.soft_ranks import correlation, ranks
from allweather.trainers.policies.acceptance import confidence_and_accepted
from allweather.trainers.policies.average import CENTER, average_views, every_name

TIMED_IMAGES = 20  # images on which latency is measured
MEDIUM_SEVERITY = 3  # of the corrupted images that are timed; changed predictions are looked for there first
# the arrays of an outcome, as they are saved
ARRAY_FIELDS = ("correct", "confidence", "first_view", "views_run", "rank_correlation", "accepted")


def best_single_view(evaluated: EvaluatedModel) -> Policy:
    """Returns the policy that runs the view with the lowest true loss among those that the model's predictor ranks."""
    return parse_policy("oracle:1", predictor_views=evaluated.predictor_views)


@dataclass(frozen=True)
class CellOutcome:
    """What several policies predict for the n images of one cell.

    Attributes:
        corruption: Name of the corruption, or "clean".
        severity: 1 to 5, or 0 for the clean images.
        correct: bool [policies, n], whether the prediction is correct.
        confidence: float32 [policies, n], the largest probability of the average, 0..1; calibrated if the policy is.
        first_view: int64 [policies, n], index in the policy's views of the view that it ranks first.
        views_run: int64 [policies, n], number of images that the classifier got.
        rank_correlation: float32 [n], rank correlation of predicted and true losses over the predictor's views; nan
            without a loss predictor.
        accepted: bool [policies, n], whether the decision is accepted; False for a policy that has no such threshold.
    """

    corruption: str
    severity: int
    correct: npt.NDArray[np.bool_]
    confidence: Floats
    first_view: npt.NDArray[np.int64]
    views_run: npt.NDArray[np.int64]
    rank_correlation: Floats
    accepted: npt.NDArray[np.bool_]


def run_policies(
    evaluated: EvaluatedModel,
    dataset: Dataset,
    corrupted: CorruptedSet | None,
    policies: Sequence[Policy],
    *,
    seed: int = 0,
    keep: Path | str | None = None,
    watch: Callable[[int, int], None] = lambda done, total: None,
) -> list[CellOutcome]:
    """Runs each policy on the clean test images, then on each cell of a corrupted set.

    Every view that one of the policies may run is run once on each image; the policies share its logits.

    Args:
        evaluated: The model; see `open_model`.
        dataset: A data set of its classes and input size; its test split holds the clean images, all of which can be
            read; see `Dataset.readable`.
        corrupted: Corrupted images of the same classes; None for the clean images alone.
        policies: Policies with distinct names.
        seed: Random seed of policies that draw views; the same seed gives the same result.
        keep: Folder for finished cells, from which a later call with the same arguments resumes; the caller removes it
            after saving the result.
        watch: Called with (cells done, cells in total).

    Returns:
        The outcome of each cell, the clean one first.

    Raises:
        UsageError: A policy ranks views and the model has no loss predictor.
        OutputError: `keep` cannot be written.
    """
    keep = None if keep is None else as_path(keep)
    for policy in policies:
        if policy.needs_predictor and evaluated.predict_losses is None:
            raise UsageError(
                f"policy {policy.name} needs a loss predictor, and {evaluated.path} has none; train one with "
                "allweather train-predictor"
            )
        if policy.large and evaluated.large_logits is None:
            raise UsageError(
                f"policy {policy.name} needs a large classifier, and {evaluated.path} has none; only a bundle made by "
                "allweather export --large has one"
            )
    cells = [("clean", 0)]
    if corrupted:
        cells += [(name, severity) for name in corrupted.corruptions for severity in SEVERITIES]
    texts = json.dumps([*map(str, policies), seed])
    resume_key = {
        "images": resume_key_of(evaluated, corrupted, dataset),
        "policies": hashlib.sha256(texts.encode()).hexdigest(),
    }
    outcomes = []
    for index, (name, severity) in enumerate(cells):
        watch(index, len(cells))
        file = keep / f"{name}-{severity}.safetensors" if keep else None
        outcome = _read_outcome(file, resume_key, name, severity)
        if outcome is None:
            rng = np.random.default_rng([seed, index])
            images, labels = _cell_images(dataset, corrupted, name, severity)
            outcome = _run_cell(evaluated, name, severity, images, labels, policies, rng)
            if file:
                tensors = {field: torch.from_numpy(getattr(outcome, field)) for field in ARRAY_FIELDS}
                tensor_file.write(file, tensors, resume_key)
        outcomes.append(outcome)
    watch(len(cells), len(cells))
    return outcomes


def _cell_images(
    dataset: Dataset, corrupted: CorruptedSet | None, name: str, severity: int
) -> tuple[Iterator[Image], Labels]:
    """Returns the images of a cell in batches, and the labels of all of them."""
    if name == "clean" or corrupted is None:
        return (batch.images.numpy() for batch in dataset.test.batches(BATCH_SIZE)), dataset.test.labels.numpy()
    return corrupted.batches(name, severity, BATCH_SIZE), corrupted.labels


def _run_cell(
    evaluated: EvaluatedModel,
    name: str,
    severity: int,
    batches: Iterator[Image],
    labels: Labels,
    policies: Sequence[Policy],
    rng: np.random.Generator,
) -> CellOutcome:
    correct, confidence, first_view, views_run, rank_correlation, accepted, start = [], [], [], [], [], [], 0
    names = {each for policy in policies for each in every_name(policy)}
    if evaluated.predict_losses or any(policy.pick == "oracle" for policy in policies):
        names |= set(evaluated.predictor_views)
    for images in batches:
        batch_labels = labels[start : start + len(images)]
        start += len(images)
        by_view = {each: evaluated.run_view(each, images) for each in names}
        ranked = evaluated.predictor_views
        true_losses = _losses(by_view, batch_labels, ranked) if names.issuperset(ranked) else None
        predicted_losses = evaluated.predict_losses(images) if evaluated.predict_losses else None
        chosen = []
        for policy in policies:
            is_oracle = policy.pick == "oracle"
            losses = _losses(by_view, batch_labels, policy.views) if is_oracle else predicted_losses
            chosen.append(policy.choose(losses, rng, len(images)))
        averages = [average_views(policy, indices, by_view) for policy, indices in zip(policies, chosen, strict=True)]
        correct.append(np.stack([average.argmax(1) == batch_labels for average, _ in averages]))
        views_run.append(np.stack([counts for _, counts in averages]))
        first_view.append(np.stack([indices[:, 0] for indices in chosen]))
        judged = [
            confidence_and_accepted(policy, indices, by_view, *average)
            for policy, indices, average in zip(policies, chosen, averages, strict=True)
        ]
        confidence.append(np.stack([each for each, _ in judged]))
        accepted.append(np.stack([each for _, each in judged]))
        rank_correlation.append(_rank_correlations(predicted_losses, true_losses, len(images)))
    return CellOutcome(
        corruption=name,
        severity=severity,
        correct=np.concatenate(correct, 1),
        confidence=np.concatenate(confidence, 1),
        first_view=np.concatenate(first_view, 1),
        views_run=np.concatenate(views_run, 1),
        rank_correlation=np.concatenate(rank_correlation),
        accepted=np.concatenate(accepted, 1),
    )


def _losses(by_view: dict[str, Floats], labels: Labels, names: Sequence[str]) -> Floats:
    """Returns the cross-entropy of each of some views, float32 [n, V]."""
    rows = np.arange(len(labels))
    of_class = np.stack([probabilities(by_view[each])[rows, labels] for each in names], 1)
    return np.asarray(-np.log(of_class.clip(1e-12)), np.float32)


def _rank_correlations(predicted: Floats | None, true: Floats | None, count: int) -> Floats:
    if predicted is None or true is None:
        return np.full(count, np.nan, np.float32)
    result = correlation(ranks(torch.from_numpy(predicted)), ranks(torch.from_numpy(true)))
    return np.asarray(result.numpy(), np.float32)


def _read_outcome(file: Path | None, resume_key: dict[str, str], name: str, severity: int) -> CellOutcome | None:
    """Reads the cell that an earlier call of the same evaluation has finished; returns None if there is none."""
    if file is None or not file.is_file():
        return None
    tensors, header = tensor_file.read(file)
    if header != resume_key or not tensors.keys() >= set(ARRAY_FIELDS):  # of other images, or an older version
        return None
    return CellOutcome(name, severity, *(tensors[field].numpy() for field in ARRAY_FIELDS))


def timed_images(dataset: Dataset, corrupted: CorruptedSet | None = None) -> Image:
    """Returns images to measure latency on, uint8 [n, h, w, 3]: clean ones, or corrupted ones of medium severity."""
    if corrupted is None:
        first = dataset.test.take(torch.arange(min(TIMED_IMAGES, len(dataset.test)))).loaded()
        return np.asarray(first.images.numpy(), np.uint8)
    names, count = corrupted.corruptions, len(corrupted.labels)  # the corruptions take turns
    return np.stack(
        [corrupted.image(names[index % len(names)], MEDIUM_SEVERITY, index % count) for index in range(TIMED_IMAGES)]
    )


def latency_ratios(
    evaluated: EvaluatedModel,
    images: Image,
    policies: Sequence[Policy],
    *,
    rounds: int = 5,
    clock: Callable[[], float] = time.perf_counter,
) -> list[float]:
    """Measures the wall-clock time of each policy relative to that of one view.

    It includes running the loss predictor and computing the views. The policies take turns on each image.

    Args:
        evaluated: The model; see `open_model`.
        images: uint8 [n, h, w, 3], decided on one after the other, as from a camera.
        policies: Policies that the model can follow.
        rounds: How often each policy is run on each image; the median counts.
        clock: Function that returns the time in seconds.

    Returns:
        For each policy its time divided by that of the policy "center", mean over the images.
    """
    rng, timed = np.random.default_rng(0), [CENTER, *(policy for policy in policies if policy != CENTER)]
    times = np.zeros((len(timed), rounds, len(images)))
    for policy in timed:
        _decide(evaluated, policy, images[0], rng)  # some backends compile for a batch size when they first meet it
    for turn in range(rounds):
        for column, image in enumerate(images):
            for row, policy in enumerate(timed):
                started = clock()
                _decide(evaluated, policy, image, rng)
                times[row, turn, column] = clock() - started
    seconds = dict(zip(timed, np.median(times, 1).mean(1).tolist(), strict=True))
    return [seconds[policy] / seconds[CENTER] for policy in policies]


def _decide(evaluated: EvaluatedModel, policy: Policy, image: Image, rng: np.random.Generator) -> None:
    """Runs a policy on one image."""
    losses = (
        evaluated.predict_losses(image[None])
        if policy.needs_predictor and evaluated.predict_losses
        else np.zeros((1, len(policy.views)), np.float32)
    )
    names, weights = policy.with_large(*policy.views_for(policy.choose(losses, rng)[0]))
    steps, large = steps_without_deadline(len(names), policy), evaluated.large_logits
    run_views(evaluated.logits, image, names, weights, policy, steps, time.perf_counter, large)
