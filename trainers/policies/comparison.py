"""Compares policies for a model on corrupted validation images, and chooses the one that it should follow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from allweather.runtimes.errors import UsageError
from allweather.runtimes.perceiver import check_runnable
from allweather.runtimes.tta.policy import Policy, is_found_by_tuning, parse_policy
from allweather.trainers.corruptions.sets.corrupted_copies import CopySettings
from allweather.trainers.data.split import LabeledImages
from allweather.trainers.inference.open_model import EvaluatedModel
from allweather.trainers.policies.every_view import view_logits
from allweather.trainers.policies.selection import PolicySelection, select_policy
from allweather.trainers.policies.tuning import (
    TunedPolicy,
    candidate_views,
    default_policies,
    evaluate_center,
    parse_tuning,
    put_first,
    tune,
)

MAX_VIEWS = 4  # views that a chosen policy runs for an image, on average


@dataclass(frozen=True)
class PolicyComparison:
    """Result of comparing policies.

    Attributes:
        results: The compared policies with their metrics.
        selection: Which of them was chosen, and what could not be told.
        policies: Policies to store: the chosen one first, then those that were tuned here, then those of before.
    """

    results: tuple[TunedPolicy, ...]
    selection: PolicySelection
    policies: tuple[Policy, ...]


def parse_requested(texts: Sequence[str], model: EvaluatedModel, *, hflip: bool) -> tuple[Policy | str, ...]:
    """Returns the policies to compare: as they are, or the text of one that has yet to be found.

    Args:
        texts: Texts of policies, such as hflip, top:2, gps:3 or learned; the usual ones if there are none.
        model: The model that is to follow them.
        hflip: Whether an image keeps its class when it is flipped horizontally; if not, no usual policy flips.

    Raises:
        UsageError: A text is no policy, or the model cannot follow it.
    """
    usual = default_policies(model.predict_losses is not None, hflip=hflip)
    return tuple(_parse(text, model) for text in texts or usual)


def compare_policies(
    model: EvaluatedModel,
    val: LabeledImages,
    requested: Sequence[Policy | str],
    *,
    hflip: bool,
    max_views: float = MAX_VIEWS,
    copy_settings: CopySettings | None = None,
    watch: Callable[[int, int], None] = lambda done, total: None,
) -> PolicyComparison:
    """Runs the views of all policies on corrupted copies of validation images, and chooses a policy.

    Args:
        model: The model that is to follow it.
        val: Images that the model was not trained on, at its input size, with labels in the order of its classes.
        requested: What `parse_requested` returned.
        hflip: Whether an image keeps its class when it is flipped horizontally.
        max_views: Largest mean number of views of the chosen policy.
        copy_settings: How the images are corrupted; one copy of each if None.
        watch: Called with (batches done, batches in total).

    Raises:
        UsageError: No policy runs as few views.
    """
    if max_views < 1:
        raise UsageError(f"the largest number of views for an image is at least 1; got {max_views}")
    fixed = [each for each in requested if not isinstance(each, str)]
    candidates = candidate_views(hflip=hflip) if len(fixed) < len(requested) else ()
    settings = CopySettings(copies=1) if copy_settings is None else copy_settings
    logits = view_logits(model, val, settings, fixed, candidates=candidates, watch=watch)
    results = tuple(tune(logits, each) for each in requested)
    selection = select_policy(results, evaluate_center(logits), max_views)
    policies = model.policies
    for each in (*(each for each in results if is_found_by_tuning(each.policy.name)), selection.chosen):
        policies = put_first(policies, each.policy)
    return PolicyComparison(results, selection, policies)


def _parse(text: str, model: EvaluatedModel) -> Policy | str:
    if "@" not in text and is_found_by_tuning(text):
        parse_tuning(text)
        return text
    policy = parse_policy(text, model.policies, model.predictor_views)
    check_runnable(policy, model.predict_losses is not None)
    return policy
