"""Finds the best test-time augmentation policy on validation images, by search or by learning weights of the views.

The greedy search is GPS of Molchanov et al. 2020 (arXiv:2002.09103). The learned weights are those of Shanmugam et al.
2021 (arXiv:2011.11156), the same for every class.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from allweather.runtimes.errors import UsageError
from allweather.runtimes.tta.policy import FLIP, Averaged, Policy
from allweather.runtimes.tta.policy_names import LOGITS
from allweather.runtimes.types import Floats
from allweather.trainers.policies.average import CENTER, average_views
from allweather.trainers.policies.every_view import CANDIDATES, ViewLogits
from allweather.trainers.tta.merge import from_mean, view_scores

FIXED_POLICIES = ("center", "hflip", "hflip@0.95", "5crop", "10crop", "all")
PREDICTOR_POLICIES = ("top:1", "top:2", "top:1+flip", "top:1+flip@0.95", "top:2+flip", "top:2+flip@0.95")
LARGE_POLICIES = ("center+large@0.7", "center+large@0.9", "hflip+large@0.9")
LARGE_PREDICTOR_POLICIES = ("top:1+large@0.7", "top:1+large@0.9", "top:1+flip+large@0.9")
ONE_VIEW = ("center", "top:1", "gps:1")  # whose average is the same, whatever is averaged
TEMPERATURES = torch.logspace(-0.5, 1.0, 31)
NUM_STEPS, LEARNING_RATE = 300, 0.05  # of the gradient descent that learns the weights
MIN_WEIGHT = 0.01  # a view with a smaller weight is not worth running


@dataclass(frozen=True)
class TunedPolicy:
    """A policy and its metrics on validation images.

    A policy that is found on the images themselves is evaluated on the half of them that it was not found on, both ways
    round; else it would look better than it is.

    Attributes:
        policy: The policy.
        accuracy: Accuracy, 0..1.
        log_likelihood: Calibrated log-likelihood, mean over the images, in nats; see `calibrated_log_likelihood`.
        mean_views: Mean number of views run for an image; what a large classifier runs counts as many views as it
            takes the time of.
        image_accuracy: float32 [images], accuracy on the corrupted copies of each image.
    """

    policy: Policy
    accuracy: float
    log_likelihood: float
    mean_views: float
    image_accuracy: Floats


def default_policies(has_predictor: bool, *, hflip: bool = True, has_large: bool = False) -> tuple[str, ...]:
    """Returns the policies that are compared if none is named: each averages probabilities, and once more logits.

    Args:
        has_predictor: Whether the model has a loss predictor.
        hflip: Whether an image keeps its class when it is flipped horizontally; if not, no policy flips.
        has_large: Whether the model has a large classifier.
    """
    fixed = (*FIXED_POLICIES, *(PREDICTOR_POLICIES if has_predictor else ()))
    if has_large:
        fixed = (*fixed, *LARGE_POLICIES, *(LARGE_PREDICTOR_POLICIES if has_predictor else ()))
    allowed = (text for text in fixed if hflip or ("flip" not in text and text != "10crop"))
    usual = (*allowed, *(f"gps:{count}" for count in range(1, 5)), "learned")
    return tuple(each for text in usual for each in ((text,) if text in ONE_VIEW else (text, averaging_logits(text))))


def averaging_logits(text: str) -> str:
    """Returns the name of the policy that averages the logits of the same views."""
    base, at, share = text.partition("@")
    return base + LOGITS + at + share


def candidate_views(*, hflip: bool) -> tuple[str, ...]:
    """Returns the views that tuning chooses from, without the horizontal flip if it changes classes."""
    return tuple(name for name in CANDIDATES if hflip or name != FLIP)


def tune(results: ViewLogits, policy: str | Policy) -> TunedPolicy:
    """Finds the policy that a text asks for, or evaluates one that is given.

    Args:
        results: See `view_logits`.
        policy: "gps:K" or "learned", also with "+logits"; or a policy whose views are among those of the results.

    Raises:
        UsageError: The text is neither, or K is out of range.
    """
    if isinstance(policy, Policy):
        return _evaluate_policy(policy, results)
    count, averages, results = parse_tuning(policy), _averaged_by(policy), results.without_large()

    def find(part: ViewLogits) -> Policy:
        return learn_weights(part, averages) if count is None else search_greedily(part, count, averages)

    found = find(results)
    return _metrics(found, _held_out_average(results, find), found.max_views, results)


def parse_tuning(text: str) -> int | None:
    """Returns the K of "gps:K", and None for "learned", whatever they average.

    Raises:
        UsageError: The text is neither, or K is out of range.
    """
    base = text.removesuffix(LOGITS)
    kind, _, number = base.partition(":")
    if base == "learned":
        return None
    limit = len(CANDIDATES)
    if kind != "gps" or number not in map(str, range(1, limit + 1)):
        raise UsageError(
            f"tuning finds gps:K and gps:K{LOGITS}, with K from 1 to {limit}, learned{LOGITS} and learned; got {text!r}"
        )
    return int(number)


def _averaged_by(text: str) -> Averaged:
    return "logits" if text.endswith(LOGITS) else "probabilities"


def search_greedily(results: ViewLogits, count: int, averages: Averaged = "probabilities") -> Policy:
    """Starts without views and adds, `count` times, the view that raises the log-likelihood of the average most."""
    chosen: list[int] = []
    total = torch.zeros_like(results.logits[0])
    for number in range(1, min(count, len(results.names)) + 1):
        others = [index for index in range(len(results.names)) if index not in chosen]
        likelihoods = [
            calibrated_log_likelihood(
                from_mean((total + view_scores(results.logits[index], averages)) / number, averages), results.labels
            )
            for index in others
        ]
        best = others[int(np.argmax(likelihoods))]
        chosen.append(best)
        total = total + view_scores(results.logits[best], averages)
    names = tuple(results.names[index] for index in chosen)
    return Policy(_named(f"gps:{count}", averages), "all", names, len(names), averages=averages)


@torch.inference_mode(mode=False)  # whatever the caller does
@torch.enable_grad()
def learn_weights(results: ViewLogits, averages: Averaged = "probabilities") -> Policy:
    """Learns the weight of each view that maximizes the likelihood of the average; drops views with tiny weights."""
    raw = torch.zeros(len(results.names), requires_grad=True)
    scores, labels = (
        view_scores(results.logits.clone(), averages),
        results.labels.clone(),
    )  # copies: no inference tensors
    optimizer = torch.optim.Adam([raw], LEARNING_RATE)
    for _ in range(NUM_STEPS):
        average = from_mean(torch.einsum("v,vnc->nc", raw.softmax(0), scores), averages)
        loss = -average.gather(1, labels[:, None]).clamp(min=1e-12).log().mean()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    weights = raw.detach().softmax(0)
    kept = [index for index, weight in enumerate(weights.tolist()) if weight >= MIN_WEIGHT]
    names = tuple(results.names[index] for index in kept)
    return Policy(
        _named("learned", averages), "all", names, len(names), weights=tuple(weights[kept].tolist()), averages=averages
    )


def _named(name: str, averages: Averaged) -> str:
    return name + LOGITS if averages == "logits" else name


def calibrated_log_likelihood(probabilities: Tensor, labels: Tensor) -> float:
    """Computes the log-likelihood at the best temperature, which does not depend on over- or underconfidence.

    The temperature is found on one half of the images and applied to the other, both ways, and the mean of both is
    returned (Ashukha et al. 2020, arXiv:2002.06470).

    Args:
        probabilities: float [n, C].
        labels: int64 [n].

    Returns:
        Mean over the images, in nats.
    """
    logs = probabilities.clamp(min=1e-12).log()
    # one temperature at a time: all at once would take 31 times the memory, gigabytes with a thousand classes
    likelihoods = torch.stack([(logs / t).log_softmax(1).gather(1, labels[:, None])[:, 0] for t in TEMPERATURES])
    if len(labels) < 2:  # there is no other half
        return float(likelihoods.mean(1).max())
    first, second = likelihoods[:, ::2].mean(1), likelihoods[:, 1::2].mean(1)
    return float((second[first.argmax()] + first[second.argmax()]) / 2)


def put_first(policies: Sequence[Policy], chosen: Policy) -> tuple[Policy, ...]:
    """Returns the tuned policies with `chosen` in front; it replaces an older policy of the same name."""
    return (chosen, *(policy for policy in policies if policy.name != chosen.name))


def evaluate_center(results: ViewLogits) -> TunedPolicy:
    """Evaluates the unchanged image alone, to compare other policies with."""
    return _evaluate_policy(CENTER, results)


def _evaluate_policy(policy: Policy, results: ViewLogits) -> TunedPolicy:
    chosen = policy.choose(results.predicted_losses, np.random.default_rng(0), len(results.labels))
    by_view = {name: part.numpy() for name, part in zip(results.names, results.logits, strict=True)}
    average, views_run = average_views(policy, chosen, by_view)
    mean_views = float(views_run.mean())
    if policy.large:  # one run of it costs more than a view
        mean_views += (results.large_cost - 1) * float((views_run == policy.planned_views).mean())
    return _metrics(policy, torch.from_numpy(average).float(), mean_views, results)


def _held_out_average(results: ViewLogits, find: Callable[[ViewLogits], Policy]) -> Tensor:
    """Returns the averages, float [n, C], of the policies found on every other image, for the images between them."""
    second = results.image_of_row % 2 == 1
    average = torch.zeros_like(results.logits[0])
    for mine, others in ((second, ~second), (~second, second)):
        rows, found_on = mine.nonzero()[:, 0], others.nonzero()[:, 0]
        policy = find(results.take(found_on if len(found_on) else rows))  # a single image has no other half
        weights = torch.tensor(policy.weights or (1.0,) * policy.num_views)
        views = torch.tensor([results.names.index(name) for name in policy.views])
        scores = view_scores(results.logits[views][:, rows], policy.averages)
        average[rows] = from_mean(torch.einsum("v,vnc->nc", weights / weights.sum(), scores), policy.averages)
    return average


def _metrics(policy: Policy, average: Tensor, mean_views: float, results: ViewLogits) -> TunedPolicy:
    """Computes the metrics of a policy from its averaged probabilities, float [n, C]."""
    correct = (average.argmax(1) == results.labels).float()
    image = results.image_of_row
    image_accuracy = torch.bincount(image, correct) / torch.bincount(image)
    return TunedPolicy(
        policy=policy,
        accuracy=float(correct.mean()),
        log_likelihood=calibrated_log_likelihood(average, results.labels),
        mean_views=mean_views,
        image_accuracy=image_accuracy.float().numpy(),
    )
