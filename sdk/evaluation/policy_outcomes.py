"""Measures policies on clean and corrupted pictures: what each gains, where it looks, and what it costs."""

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
from allweather.evaluation.model import EvaluatedModel
from allweather.runtimes.errors import UsageError
from allweather.runtimes.tta.aggregate import probabilities
from allweather.runtimes.tta.policy import Policy, parse_policy
from allweather.runtimes.tta.run_views import run_views, steps_without_deadline
from allweather.runtimes.tta.views import view
from allweather.runtimes.types import Floats, Image
from allweather.trainers.checkpoint import tensor_file
from allweather.trainers.corruptions.corruption import SEVERITIES
from allweather.trainers.corruptions.sets import CorruptedSet, Labels
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.losses.soft_ranks import correlation, ranks

BATCH = 500
PARTS = ("right", "first", "runs", "alike")  # of an outcome, as it is kept
CENTER = parse_policy("center")


def best_single_view(model: EvaluatedModel) -> Policy:
    """Returns the policy that runs the view with the lowest true loss among those that the model's predictor ranks."""
    return parse_policy("oracle:1", predictor_views=model.predictor_views)


@dataclass(frozen=True)
class Outcome:
    """What policies made of the pictures of one cell.

    Attributes:
        corruption: its name, or "clean".
        severity: 1 to 5, or 0 for the clean pictures.
        right: bool [policies, n].
        first: int64 [policies, n], place in the policy's views of the one it likes best.
        runs: int64 [policies, n], pictures that the classifier saw.
        alike: float32 [n], rank correlation of predicted and true losses over the predictor's views; nan without one.
    """

    corruption: str
    severity: int
    right: npt.NDArray[np.bool_]
    first: npt.NDArray[np.int64]
    runs: npt.NDArray[np.int64]
    alike: Floats


def outcomes(
    target: EvaluatedModel,
    dataset: Dataset,
    corrupted: CorruptedSet | None,
    policies: Sequence[Policy],
    *,
    seed: int = 0,
    keep: Path | None = None,
    watch: Callable[[int, int], None] = lambda done, total: None,
) -> list[Outcome]:
    """Follows each policy on the clean test pictures, then on each cell of a corrupted set.

    Every view that one of the policies may run is answered once; the policies share the answers.

    Args:
        target: see `open_model`.
        dataset: its test split is the clean side.
        corrupted: of the same classes; None for the clean side alone.
        policies: of distinct names.
        seed: of policies that draw.
        keep: folder for finished cells, which a later call with the same arguments goes on from; it is removed by
            whoever keeps the result.
        watch: told of (cells done, cells in all).

    Raises:
        UsageError: a policy ranks views and the target has no loss predictor.
        OutputError: `keep` cannot be written.
    """
    for policy in policies:
        if policy.needs_predictor and target.predict_losses is None:
            raise UsageError(
                f"policy {policy.name} needs a loss predictor, and {target.path} has none; train one with allweather "
                "train-predictor"
            )
    cells = [("clean", 0)]
    if corrupted:
        cells += [(name, severity) for name in corrupted.corruptions for severity in SEVERITIES]
    texts = json.dumps([[policy.name, policy.views, policy.weights] for policy in policies] + [seed])
    resume_key = {
        "of": resume_key_of(target, corrupted, dataset),
        "policies": hashlib.sha256(texts.encode()).hexdigest(),
    }
    found = []
    for number, (name, severity) in enumerate(cells):
        watch(number, len(cells))
        place = keep / f"{name}-{severity}.safetensors" if keep else None
        cell = _read(place, resume_key, name, severity)
        if cell is None:
            rng = np.random.default_rng([seed, number])
            images, labels = _pictures(dataset, corrupted, name, severity)
            cell = _cell(target, name, severity, images, labels, policies, rng)
            if place:
                parts = {part: torch.from_numpy(getattr(cell, part)) for part in PARTS}
                tensor_file.write(place, parts, resume_key)
        found.append(cell)
    watch(len(cells), len(cells))
    return found


def _pictures(
    dataset: Dataset, corrupted: CorruptedSet | None, name: str, severity: int
) -> tuple[Iterator[Image], Labels]:
    if name == "clean" or corrupted is None:
        return (part.numpy() for part in torch.split(dataset.test.images, BATCH)), dataset.test.labels.numpy()
    return corrupted.batches(name, severity, BATCH), corrupted.labels


def _cell(
    target: EvaluatedModel,
    name: str,
    severity: int,
    batches: Iterator[Image],
    labels: Labels,
    policies: Sequence[Policy],
    rng: np.random.Generator,
) -> Outcome:
    right, first, runs, alike, begin = [], [], [], [], 0
    names = {each for policy in policies for each in policy.views_for(range(len(policy.views)))[0]}
    if target.predict_losses or any(policy.pick == "oracle" for policy in policies):
        names |= set(target.predictor_views)
    for images in batches:
        truth = labels[begin : begin + len(images)]
        begin += len(images)
        answers = {
            each: probabilities(target.logits(np.stack([view(each).apply(image) for image in images])))
            for each in names
        }
        ranked = target.predictor_views
        true = _losses(answers, truth, ranked) if names.issuperset(ranked) else None
        predicted = target.predict_losses(images) if target.predict_losses else None
        places = []
        for policy in policies:
            known = _losses(answers, truth, policy.views) if policy.pick == "oracle" else predicted
            places.append(policy.choose(known, rng, len(images)))
        votes = [vote(policy, chosen, answers) for policy, chosen in zip(policies, places, strict=True)]
        right.append(np.stack([shares.argmax(1) == truth for shares, _ in votes]))
        runs.append(np.stack([each for _, each in votes]))
        first.append(np.stack([chosen[:, 0] for chosen in places]))
        alike.append(_alike(predicted, true, len(images)))
    return Outcome(
        name,
        severity,
        np.concatenate(right, 1),
        np.concatenate(first, 1),
        np.concatenate(runs, 1),
        np.concatenate(alike),
    )


def vote(
    policy: Policy, places: npt.NDArray[np.int64], answers: dict[str, npt.NDArray[np.float64]]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """What a policy makes of the answers to its views.

    Args:
        policy: see there.
        places: int [n, count], what it chose.
        answers: probabilities [n, C] of every view that it may run, by name.

    Returns:
        (float64 [n, C], the weighted mean; int64 [n], how many views it took).
    """
    total, weights = np.zeros_like(next(iter(answers.values()))), np.zeros((len(places), 1))
    runs, on = np.zeros(len(places), np.int64), np.ones(len(places), np.bool_)
    for column in places.T:
        for part in range(1 + policy.hflip):
            for place in np.unique(column[on]):
                rows = np.flatnonzero(on & (column == place))
                names, shares = policy.views_for([place])
                total[rows] += shares[part] * answers[names[part]][rows]
                weights[rows] += shares[part]
            runs += on
            if policy.exits_early:
                on &= total.max(1) <= policy.early_exit_threshold * weights[:, 0]
    found: npt.NDArray[np.float64] = total / np.where(weights > 0, weights, 1)
    return found, runs


def _losses(answers: dict[str, npt.NDArray[np.float64]], labels: Labels, names: Sequence[str]) -> Floats:
    """Returns the cross-entropy of each of some views, float32 [n, V]."""
    rows = np.arange(len(labels))
    return np.stack([-np.log(answers[each][rows, labels].clip(1e-12)) for each in names], 1).astype(np.float32)


def _alike(predicted: Floats | None, true: Floats | None, count: int) -> Floats:
    if predicted is None or true is None:
        return np.full(count, np.nan, np.float32)
    found = correlation(ranks(torch.from_numpy(predicted)), ranks(torch.from_numpy(true)))
    return np.asarray(found.numpy(), np.float32)


def _read(place: Path | None, resume_key: dict[str, str], name: str, severity: int) -> Outcome | None:
    """A finished cell of the same measurement."""
    if place is None or not place.is_file():
        return None
    tensors, header = tensor_file.read(place)
    if header != resume_key:
        return None
    return Outcome(name, severity, *(tensors[part].numpy() for part in PARTS))


def relative_costs(
    target: EvaluatedModel,
    images: Image,
    policies: Sequence[Policy],
    *,
    rounds: int = 5,
    clock: Callable[[], float] = time.perf_counter,
) -> list[float]:
    """Wall-clock time of each policy beside one look, with the predictor and the making of views.

    Args:
        target: see `open_model`.
        images: uint8 [n, h, w, 3], one after the other as from a camera.
        policies: they take turns.
        rounds: over the pictures.
        clock: seconds.
    """
    rng, followed = np.random.default_rng(0), [CENTER, *(policy for policy in policies if policy != CENTER)]
    times = np.zeros((len(followed), rounds, len(images)))
    for policy in followed:
        _follow(target, policy, images[0], rng)  # the first look at a batch of a new size compiles for it
    for turn in range(rounds):
        for number, image in enumerate(images):
            for place, policy in enumerate(followed):
                began = clock()
                _follow(target, policy, image, rng)
                times[place, turn, number] = clock() - began
    seconds = dict(zip(followed, np.median(times, 1).mean(1).tolist(), strict=True))
    return [seconds[policy] / seconds[CENTER] for policy in policies]


def _follow(target: EvaluatedModel, policy: Policy, image: Image, rng: np.random.Generator) -> None:
    losses = (
        target.predict_losses(image[None])
        if policy.needs_predictor and target.predict_losses
        else np.zeros((1, len(policy.views)), np.float32)
    )
    names, weights = policy.views_for(policy.choose(losses, rng)[0])
    steps = steps_without_deadline(len(names), policy.early_exit_threshold)
    run_views(target.logits, image, names, weights, policy.early_exit_threshold, steps, time.perf_counter)
