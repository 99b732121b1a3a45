"""Finds policies on validation pictures: views by greedy search, or one learned weight a view.

Greedy search is GPS of Molchanov et al. 2020 (arXiv:2002.09103); learned weights are those of Shanmugam et al. 2021
(arXiv:2011.11156), not by class.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from allweather.evaluation.model import EvaluatedModel
from allweather.evaluation.policy_outcomes import vote
from allweather.runtimes.errors import UsageError
from allweather.runtimes.tta.policy import Policy, parse_policy
from allweather.runtimes.tta.views import CLASSIC_VIEWS, VIEWS, view
from allweather.runtimes.types import Floats
from allweather.trainers.corruptions.sets.corrupted_copies import CopySettings, corrupted_copies
from allweather.trainers.data.dataset import Split

BATCH = 500
CANDIDATES = (*VIEWS, *CLASSIC_VIEWS)
FIXED = ("center", "hflip", "hflip@0.95", "5crop", "10crop", "all")
RANKED = ("top:1", "top:2", "top:1+flip", "top:1+flip@0.95", "top:2+flip", "top:2+flip@0.95")
TEMPERATURES = torch.logspace(-0.5, 1.0, 31)
STEPS, RATE = 300, 0.05  # of the weights' descent
SMALLEST_WEIGHT = 0.01  # a view of less is not worth its run


@dataclass(frozen=True)
class ViewProbabilities:
    """What a classifier says of each view of validation pictures.

    Attributes:
        names: of the views; `CANDIDATES` come first.
        probabilities: float32 [names, n, C].
        labels: int64 [n].
        predicted: float32 [n, V], losses by its predictor; None without one.
    """

    names: tuple[str, ...]
    probabilities: Tensor
    labels: Tensor
    predicted: Floats | None = None


@dataclass(frozen=True)
class TunedPolicy:
    """A policy and what it came to on the pictures that it was found on.

    Attributes:
        policy: see there.
        accuracy: 0..1.
        likelihood: calibrated log-likelihood, mean over the pictures, in nats.
        runs: pictures that the classifier saw for one, mean.
    """

    policy: Policy
    accuracy: float
    likelihood: float
    runs: float


def usual(predictor: bool) -> tuple[str, ...]:
    """Policies to compare where none is named."""
    return (*FIXED, *(RANKED if predictor else ()), *(f"gps:{count}" for count in range(1, 5)), "learned")


def view_probabilities(
    target: EvaluatedModel,
    val: Split,
    copy_settings: CopySettings,
    policies: Sequence[Policy] = (),
    *,
    watch: Callable[[int, int], None] = lambda done, total: None,
) -> ViewProbabilities:
    """Asks for every candidate view of corrupted copies of validation pictures.

    Args:
        target: see `open_model`.
        val: pictures it was not trained on.
        corrupting: how the copies are made.
        policies: whose views are asked for, too.
        watch: told of (batches done, in all).
    """
    others = {name for policy in policies for name in policy.views_for(range(len(policy.views)))[0]} - set(CANDIDATES)
    names = (*CANDIDATES, *sorted(others))
    predicted: list[Floats] = []
    parts, labels, total = [], [], -(-len(val) // BATCH)
    for number in range(total):
        watch(number, total)
        source = torch.arange(number * BATCH, min((number + 1) * BATCH, len(val))).repeat(copy_settings.copies)
        images, _ = corrupted_copies(
            val.images[source].numpy(), copy_settings, np.random.default_rng([copy_settings.seed, number])
        )
        looked = (np.stack([view(name).apply(image) for image in images]) for name in names)
        parts.append(torch.stack([torch.from_numpy(target.logits(each)).softmax(1) for each in looked]))
        labels.append(val.labels[source])
        if target.predict_losses:
            predicted.append(target.predict_losses(images))
    watch(total, total)
    return ViewProbabilities(
        names, torch.cat(parts, 1), torch.cat(labels), np.concatenate(predicted) if predicted else None
    )


def tune(answers: ViewProbabilities, policy: str | Policy) -> TunedPolicy:
    """Finds the policy that a text asks for, or judges one that is known.

    Args:
        answers: see `answers_of`.
        policy: "gps:K" or "learned"; or one to be judged, whose views are among the answers.

    Raises:
        UsageError: the text is neither, or K is out of range.
    """
    if isinstance(policy, Policy):
        return _followed(policy, answers)
    count = checked(policy)
    return learned(answers) if count is None else greedy(answers, count)


def best(found: Sequence[TunedPolicy], runs: int) -> TunedPolicy:
    """The likeliest vote among policies of at most so many pictures a frame, on average.

    Raises:
        UsageError: there is none.
    """
    cheap = [each for each in found if each.runs <= runs]
    if not cheap:
        least = min(found, key=lambda each: each.runs)
        name = least.policy.name
        raise UsageError(f"no policy looks at {runs} pictures a frame or fewer; {name} looks at {least.runs:.3g}")
    return max(cheap, key=lambda each: each.likelihood)


def checked(text: str) -> int | None:
    """K of "gps:K", None of "learned".

    Raises:
        UsageError: it is neither, or K is out of range.
    """
    kind, _, number = text.partition(":")
    if text == "learned":
        return None
    most = len(CANDIDATES)
    if kind != "gps" or not (number.isascii() and number.isdecimal()) or not 1 <= int(number) <= most:
        raise UsageError(f"tuning finds gps:K, with K from 1 to {most}, and learned; got {text!r}")
    return int(number)


def greedy(answers: ViewProbabilities, count: int) -> TunedPolicy:
    """Adds the view that helps the vote most, again and again.

    Args:
        answers: see `answers_of`.
        count: of views.
    """
    chosen: list[int] = []
    total = torch.zeros_like(answers.probabilities[0])
    for number in range(1, count + 1):
        others = [place for place in range(len(answers.names)) if place not in chosen]
        gains = [
            calibrated_likelihood((total + answers.probabilities[place]) / number, answers.labels) for place in others
        ]
        best = others[int(np.argmax(gains))]
        chosen.append(best)
        total = total + answers.probabilities[best]
    names = tuple(answers.names[place] for place in chosen)
    return _judged(Policy(f"gps:{count}", "all", names, count), total / count, answers)


def learned(answers: ViewProbabilities) -> TunedPolicy:
    """One weight a view, of the greatest likelihood of the vote; views of hardly any weight are left out."""
    raw = torch.zeros(len(answers.names), requires_grad=True)
    optimizer = torch.optim.Adam([raw], RATE)
    for _ in range(STEPS):
        vote = torch.einsum("v,vnc->nc", raw.softmax(0), answers.probabilities)
        loss = -vote.gather(1, answers.labels[:, None]).clamp(min=1e-12).log().mean()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    weights = raw.detach().softmax(0)
    kept = [place for place, weight in enumerate(weights.tolist()) if weight >= SMALLEST_WEIGHT]
    names, shares = tuple(answers.names[place] for place in kept), tuple(weights[kept].tolist())
    vote = torch.einsum("v,vnc->nc", weights[kept] / weights[kept].sum(), answers.probabilities[kept])
    return _judged(Policy("learned", "all", names, len(names), weights=shares), vote, answers)


def calibrated_likelihood(vote: Tensor, labels: Tensor) -> float:
    """Log-likelihood at the best temperature: how much a vote knows, however sure it says it is.

    The temperature is found on one half of the pictures and judged on the other, both ways, and the mean is taken
    (Ashukha et al. 2020, arXiv:2002.06470).

    Args:
        vote: float [n, C] probabilities.
        labels: int64 [n].
    """
    logs = vote.clamp(min=1e-12).log()
    # one temperature at a time: all at once would be 31 times the votes, gigabytes with a thousand classes
    likely = torch.stack([(logs / t).log_softmax(1).gather(1, labels[:, None])[:, 0] for t in TEMPERATURES])
    halves = likely[:, ::2].mean(1), likely[:, 1::2].mean(1)
    found = (halves[1][halves[0].argmax()] + halves[0][halves[1].argmax()]) / 2
    return float(found)


def chosen_first(policies: Sequence[Policy], chosen: Policy) -> tuple[Policy, ...]:
    """Tuned policies with the chosen one in front; an older one of its name gives way."""
    return (chosen, *(policy for policy in policies if policy.name != chosen.name))


def _judged(policy: Policy, vote: Tensor, answers: ViewProbabilities) -> TunedPolicy:
    right = (vote.argmax(1) == answers.labels).float().mean()
    return TunedPolicy(policy, float(right), calibrated_likelihood(vote, answers.labels), policy.max_views)


CENTER = parse_policy("center")


def center(answers: ViewProbabilities) -> TunedPolicy:
    """One look, to compare with."""
    return _followed(CENTER, answers)


def _followed(policy: Policy, answers: ViewProbabilities) -> TunedPolicy:
    """A policy that is known, on these answers."""
    places = policy.choose(answers.predicted, np.random.default_rng(0), len(answers.labels))
    by_name = {name: part.numpy() for name, part in zip(answers.names, answers.probabilities, strict=True)}
    found, runs = vote(policy, places, by_name)
    judged = _judged(policy, torch.from_numpy(found).float(), answers)
    return dataclasses.replace(judged, runs=float(runs.mean()))
