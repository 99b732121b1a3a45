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
from allweather.runtimes.tta.policy import FLIP, Policy
from allweather.runtimes.tta.views import CLASSIC_VIEWS, VIEWS, view
from allweather.runtimes.types import Floats
from allweather.trainers.corruptions.sets.corrupted_copies import CopySettings, corrupted_copies
from allweather.trainers.data.split import LabeledImages
from allweather.trainers.inference.open_model import BATCH_SIZE, EvaluatedModel
from allweather.trainers.policies.average import CENTER, average_views

CANDIDATES = (*VIEWS, *CLASSIC_VIEWS)  # views that tuning chooses from
FIXED_POLICIES = ("center", "hflip", "hflip@0.95", "5crop", "10crop", "all")
PREDICTOR_POLICIES = ("top:1", "top:2", "top:1+flip", "top:1+flip@0.95", "top:2+flip", "top:2+flip@0.95")
TEMPERATURES = torch.logspace(-0.5, 1.0, 31)
NUM_STEPS, LEARNING_RATE = 300, 0.05  # of the gradient descent that learns the weights
MIN_WEIGHT = 0.01  # a view with a smaller weight is not worth running


@dataclass(frozen=True)
class ViewProbabilities:
    """The classifier's probabilities for views of n corrupted validation images, and its predicted losses.

    Attributes:
        names: Names of the views; the candidates of tuning come first.
        probabilities: float32 [views, n, C].
        labels: int64 [n].
        predicted_losses: float32 [n, V]; None without a loss predictor.
        source: int64 [n], index of the image that each row is a corrupted copy of; None if no two rows have the same.
    """

    names: tuple[str, ...]
    probabilities: Tensor
    labels: Tensor
    predicted_losses: Floats | None = None
    source: Tensor | None = None

    @property
    def image_of_row(self) -> Tensor:
        """Index of the image, 0 to the number of images - 1, that each row belongs to, int64 [n]."""
        if self.source is None:
            return torch.arange(len(self.labels))
        _, index = torch.unique(self.source, return_inverse=True)
        return torch.as_tensor(index)

    def take(self, rows: Tensor) -> ViewProbabilities:
        """Returns the probabilities and labels of some rows (int64 [m])."""
        return ViewProbabilities(self.names, self.probabilities[:, rows], self.labels[rows])


@dataclass(frozen=True)
class TunedPolicy:
    """A policy and its metrics on validation images.

    A policy that is found on the images themselves is evaluated on the half of them that it was not found on, both ways
    round; else it would look better than it is.

    Attributes:
        policy: The policy.
        accuracy: Accuracy, 0..1.
        log_likelihood: Calibrated log-likelihood, mean over the images, in nats; see `calibrated_log_likelihood`.
        mean_views: Mean number of views run for an image.
        image_accuracy: float32 [images], accuracy on the corrupted copies of each image.
    """

    policy: Policy
    accuracy: float
    log_likelihood: float
    mean_views: float
    image_accuracy: Floats


def default_policies(has_predictor: bool, *, hflip: bool = True) -> tuple[str, ...]:
    """Returns the policies that are compared if none is named.

    Args:
        has_predictor: Whether the model has a loss predictor.
        hflip: Whether an image keeps its class when it is flipped horizontally; if not, no policy flips.
    """
    fixed = (*FIXED_POLICIES, *(PREDICTOR_POLICIES if has_predictor else ()))
    allowed = (text for text in fixed if hflip or ("flip" not in text and text != "10crop"))
    return (*allowed, *(f"gps:{count}" for count in range(1, 5)), "learned")


def candidate_views(*, hflip: bool) -> tuple[str, ...]:
    """Returns the views that tuning chooses from, without the horizontal flip if it changes classes."""
    return tuple(name for name in CANDIDATES if hflip or name != FLIP)


def view_probabilities(
    evaluated: EvaluatedModel,
    val: LabeledImages,
    copy_settings: CopySettings,
    policies: Sequence[Policy] = (),
    *,
    candidates: Sequence[str] = CANDIDATES,
    watch: Callable[[int, int], None] = lambda done, total: None,
) -> ViewProbabilities:
    """Runs the candidate views, the views of policies and the unchanged image, of corrupted validation images.

    Args:
        evaluated: The model; see `open_model`.
        val: Images that the model was not trained on. Those that cannot be read are left out.
        copy_settings: How the copies are corrupted, and how many there are of each image.
        policies: Policies whose views are run, too.
        candidates: Views that tuning chooses from; empty if it only evaluates given policies.
        watch: Called with (batches done, batches in total).
    """
    given = {name for policy in (CENTER, *policies) for name in policy.views_for(range(len(policy.views)))[0]}
    names = (*candidates, *sorted(given - set(candidates)))
    predicted_losses: list[Floats] = []
    val = val.readable()
    probabilities, labels, sources, total = [], [], [], -(-len(val) // BATCH_SIZE)
    for index, batch in enumerate(val.batches(BATCH_SIZE)):
        watch(index, total)
        source = torch.arange(len(batch)).repeat(copy_settings.copies)
        rng = np.random.default_rng([copy_settings.seed, index])
        images, _ = corrupted_copies(batch.images[source].numpy(), copy_settings, rng)
        viewed = (np.stack([view(name).apply(image) for image in images]) for name in names)
        probabilities.append(torch.stack([torch.from_numpy(evaluated.logits(each)).softmax(1) for each in viewed]))
        labels.append(batch.labels[source])
        sources.append(source + index * BATCH_SIZE)
        if evaluated.predict_losses:
            predicted_losses.append(evaluated.predict_losses(images))
    watch(total, total)
    return ViewProbabilities(
        names,
        torch.cat(probabilities, 1),
        torch.cat(labels),
        np.concatenate(predicted_losses) if predicted_losses else None,
        torch.cat(sources),
    )


def tune(results: ViewProbabilities, policy: str | Policy) -> TunedPolicy:
    """Finds the policy that a text asks for, or evaluates one that is given.

    Args:
        results: See `view_probabilities`.
        policy: "gps:K" or "learned"; or a policy whose views are among those of the results.

    Raises:
        UsageError: The text is neither, or K is out of range.
    """
    if isinstance(policy, Policy):
        return _evaluate_policy(policy, results)
    count = parse_tuning(policy)

    def find(part: ViewProbabilities) -> Policy:
        return learn_weights(part) if count is None else search_greedily(part, count)

    found = find(results)
    return _metrics(found, _held_out_average(results, find), found.max_views, results)


def parse_tuning(text: str) -> int | None:
    """Returns the K of "gps:K", and None for "learned".

    Raises:
        UsageError: The text is neither, or K is out of range.
    """
    kind, _, number = text.partition(":")
    if text == "learned":
        return None
    limit = len(CANDIDATES)
    if kind != "gps" or number not in map(str, range(1, limit + 1)):
        raise UsageError(f"tuning finds gps:K, with K from 1 to {limit}, and learned; got {text!r}")
    return int(number)


def search_greedily(results: ViewProbabilities, count: int) -> Policy:
    """Starts without views and adds, `count` times, the view that raises the log-likelihood of the average most."""
    chosen: list[int] = []
    total = torch.zeros_like(results.probabilities[0])
    for number in range(1, min(count, len(results.names)) + 1):
        others = [index for index in range(len(results.names)) if index not in chosen]
        likelihoods = [
            calibrated_log_likelihood((total + results.probabilities[index]) / number, results.labels)
            for index in others
        ]
        best = others[int(np.argmax(likelihoods))]
        chosen.append(best)
        total = total + results.probabilities[best]
    return Policy(f"gps:{count}", "all", tuple(results.names[index] for index in chosen), len(chosen))


def learn_weights(results: ViewProbabilities) -> Policy:
    """Learns the weight of each view that maximizes the likelihood of the average; drops views with tiny weights."""
    raw = torch.zeros(len(results.names), requires_grad=True)
    optimizer = torch.optim.Adam([raw], LEARNING_RATE)
    for _ in range(NUM_STEPS):
        average = torch.einsum("v,vnc->nc", raw.softmax(0), results.probabilities)
        loss = -average.gather(1, results.labels[:, None]).clamp(min=1e-12).log().mean()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    weights = raw.detach().softmax(0)
    kept = [index for index, weight in enumerate(weights.tolist()) if weight >= MIN_WEIGHT]
    names = tuple(results.names[index] for index in kept)
    return Policy("learned", "all", names, len(names), weights=tuple(weights[kept].tolist()))


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


def evaluate_center(results: ViewProbabilities) -> TunedPolicy:
    """Evaluates the unchanged image alone, to compare other policies with."""
    return _evaluate_policy(CENTER, results)


def _evaluate_policy(policy: Policy, results: ViewProbabilities) -> TunedPolicy:
    chosen = policy.choose(results.predicted_losses, np.random.default_rng(0), len(results.labels))
    by_view = {name: part.numpy() for name, part in zip(results.names, results.probabilities, strict=True)}
    average, views_run = average_views(policy, chosen, by_view)
    return _metrics(policy, torch.from_numpy(average).float(), float(views_run.mean()), results)


def _held_out_average(results: ViewProbabilities, find: Callable[[ViewProbabilities], Policy]) -> Tensor:
    """Returns the averages, float [n, C], of the policies found on every other image, for the images between them."""
    second = results.image_of_row % 2 == 1
    average = torch.zeros_like(results.probabilities[0])
    for mine, others in ((second, ~second), (~second, second)):
        rows, found_on = mine.nonzero()[:, 0], others.nonzero()[:, 0]
        policy = find(results.take(found_on if len(found_on) else rows))  # a single image has no other half
        weights = torch.tensor(policy.weights or (1.0,) * policy.num_views)
        views = torch.tensor([results.names.index(name) for name in policy.views])
        average[rows] = torch.einsum("v,vnc->nc", weights / weights.sum(), results.probabilities[views][:, rows])
    return average


def _metrics(policy: Policy, average: Tensor, mean_views: float, results: ViewProbabilities) -> TunedPolicy:
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
