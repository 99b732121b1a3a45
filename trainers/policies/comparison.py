"""Compares policies for a model on corrupted validation images, and chooses the one that it should follow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from allweather.runtimes.errors import UsageError
from allweather.runtimes.perceiver import check_runnable
from allweather.runtimes.setting_types import is_number
from allweather.runtimes.tta.policy import Policy
from allweather.runtimes.tta.policy_names import is_found_by_tuning, parse_policy
from allweather.trainers.corruptions.sets.corrupted_copies import CopySettings
from allweather.trainers.data.split import LabeledImages
from allweather.trainers.inference.open_model import EvaluatedModel
from allweather.trainers.policies.acceptance import (
    RiskTarget,
    find_acceptance,
    judge,
    needed_images,
    smallest_held_risk,
)
from allweather.trainers.policies.confidence import (
    MIN_ERRORS,
    MIN_ROWS,
    decisions_of_budgets,
    fallback_policy,
    fit_confidence_model,
)
from allweather.trainers.policies.every_view import ViewLogits, view_logits
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
        policies: Policies to store: the chosen one first, with its confidence model, then those that were tuned here,
            then those of before.
        confidence_sentence: Says in plain words what was found out about the confidence of the chosen policy.
        is_given: Whether it was not chosen, but given as the only one.
        large_cost: The number of views that one run of a large classifier counts as; None without such a policy.
    """

    results: tuple[TunedPolicy, ...]
    selection: PolicySelection
    policies: tuple[Policy, ...]
    confidence_sentence: str
    is_given: bool = False
    large_cost: float | None = None

    def sentences(self) -> list[str]:
        """Says in plain words what was chosen, what could not be told, and which decisions are accepted."""
        chosen = () if self.is_given else self.selection.sentences()
        return [*self._cost_sentence(), *chosen, self.confidence_sentence]

    def _cost_sentence(self) -> tuple[str, ...]:
        """Says how the views of a large classifier are counted."""
        if self.large_cost is None:
            return ()
        return (
            f"one run of the large classifier counts as {self.large_cost:.1f} views, as it took that many times as "
            "long as one view at the export",
        )


def parse_requested(texts: Sequence[str], model: EvaluatedModel, *, hflip: bool) -> tuple[Policy | str, ...]:
    """Returns the policies to compare: as they are, or the text of one that has yet to be found.

    Args:
        texts: Texts of policies, such as hflip, top:2, gps:3 or learned; the usual ones if there are none.
        model: The model that is to follow them.
        hflip: Whether an image keeps its class when it is flipped horizontally; if not, no usual policy flips.

    Raises:
        UsageError: A text is no policy, or the model cannot follow it.
    """
    if not isinstance(texts, Sequence):
        raise UsageError(f"policies are a list of texts; got {type(texts).__name__} {texts!r:.40}")
    has_large = model.large_logits is not None
    usual = default_policies(model.predict_losses is not None, hflip=hflip, has_large=has_large)
    return tuple(_parse(text, model) for text in texts or usual)


def compare_policies(
    model: EvaluatedModel,
    val: LabeledImages,
    requested: Sequence[Policy | str],
    *,
    hflip: bool,
    max_views: float = MAX_VIEWS,
    copy_settings: CopySettings | None = None,
    target: RiskTarget | None = None,
    is_given: bool = False,
    watch: Callable[[int, int], None] = lambda done, total: None,
) -> PolicyComparison:
    """Runs the views of all policies on corrupted copies of validation images, and chooses a policy.

    The confidence of the chosen one is calibrated on the same images. A threshold of accepted decisions is found on
    others, of which each has one copy.

    Args:
        model: The model that is to follow it.
        val: Images that the model was not trained on, at its input size, with labels in the order of its classes.
        requested: What `parse_requested` returned.
        hflip: Whether an image keeps its class when it is flipped horizontally.
        max_views: Largest mean number of views of the chosen policy.
        copy_settings: How the images are corrupted; one copy of each if None.
        target: Share of errors that accepted decisions may have; None for no threshold.
        is_given: Whether the first requested policy is taken, without regard to the comparison.
        watch: Called with (batches done, batches in total).

    Raises:
        UsageError: No policy runs as few views.
    """
    if not is_number(max_views) or not max_views >= 1:
        raise UsageError(f"the largest number of views for an image is at least 1; got {max_views!r:.40}")
    fixed = [each for each in requested if not isinstance(each, str)]
    candidates = candidate_views(hflip=hflip) if len(fixed) < len(requested) else ()
    settings = CopySettings(copies=1) if copy_settings is None else copy_settings
    logits = view_logits(model, val, settings, fixed, candidates=candidates, watch=watch)
    results = tuple(tune(logits, each) for each in requested)
    selection = select_policy(results, evaluate_center(logits), max_views)
    if is_given:
        selection = replace(selection, chosen=results[0])
    policies = model.policies
    for each in results:
        if is_found_by_tuning(each.policy.name):
            policies = put_first(policies, each.policy)
    chosen = replace(selection.chosen.policy, confidence_model=fit_confidence_model(selection.chosen.policy, logits))
    held = None
    if target is not None:
        chosen, held = _with_acceptance(model, chosen, logits, target, settings, watch)
    sentence = _confidence_sentence(chosen, target, held)
    large_cost = model.large_cost if any(each.policy.large for each in results) else None
    return PolicyComparison(results, selection, put_first(policies, chosen), sentence, is_given, large_cost)


def _with_acceptance(
    model: EvaluatedModel,
    policy: Policy,
    first: ViewLogits,
    target: RiskTarget,
    settings: CopySettings,
    watch: Callable[[int, int], None],
) -> tuple[Policy, float | None]:
    """Returns the policy with the threshold of its accepted decisions, or without one if none holds the risk.

    Where none does, the smallest larger risk that one holds comes with it, or None.
    """
    images = target.images_for(policy)
    if len(images) < needed_images(target.risk, target.level):
        return policy, None
    fallback = fallback_policy(policy)
    followed = (policy,) if fallback is None else (fallback, policy)  # all views of the policy come last
    other_copies = replace(settings, copies=1, seed=settings.seed + 1)
    second = view_logits(model, images, other_copies, followed, candidates=(), watch=watch)
    confidence_model = policy.confidence_model
    assert confidence_model is not None
    on_first, on_second = (
        [judge(confidence_model, each) for one in followed for each in decisions_of_budgets(one, logits)]
        for logits in (first, second)
    )
    acceptance = find_acceptance(on_first, on_second, target.risk, target.level)
    held = None if acceptance else smallest_held_risk(on_first, on_second, target.risk, target.level)
    return replace(policy, confidence_model=replace(confidence_model, acceptance=acceptance)), held


def _confidence_sentence(policy: Policy, target: RiskTarget | None, held: float | None) -> str:
    model = policy.confidence_model
    assert model is not None
    first, *_, last = (*model.temperatures, model.temperatures[-1])
    line = f"the confidence of {policy.name} is calibrated by a temperature of {first:.2f}"
    line += f" (one view) to {last:.2f} (all views)" if len(model.temperatures) > 1 else ""
    if set(model.temperatures) == {1.0}:
        line = (
            f"the confidence of {policy.name} stays as it is: it takes {MIN_ROWS} validation images, and {MIN_ERRORS} "
            "errors among them, to tell that it should be higher; add images to the val split"
        )
    if target is None:
        return line
    images, found, needed = len(target.images_for(policy)), model.acceptance, needed_images(target.risk, target.level)
    if found is not None:
        return (
            f"{line}; accepted from a confidence of {found.threshold:.4f}: {100 * found.coverage:.1f} % of "
            f"{found.images} other images, {found.errors} errors among {found.accepted}; at most "
            f"{100 * found.risk:g} % of accepted decisions are errors ({100 * found.level:g} %, Learn then Test)"
        )
    why = (
        f"{needed} accepted decisions without an error are the fewest that could, and only {images} images are left: "
        "add images to the val split"
        if images < needed
        else f"too many of the most confident of {images} decisions are errors, or too few images tell it: add images "
        "to the val split"
    )
    more = "" if held is None else f"; the smallest that one holds on these images is {100 * held:g} %"
    return (
        f"{line}; no threshold is stored, as none holds a risk of {100 * target.risk:g} %: {why}, or allow more "
        f"risk{more}"
    )


def _parse(text: str, model: EvaluatedModel) -> Policy | str:
    if isinstance(text, str) and "@" not in text and is_found_by_tuning(text):
        parse_tuning(text)
        return text
    policy = parse_policy(text, model.policies, model.predictor_views)
    check_runnable(policy, model.predict_losses is not None, model.large_logits is not None)
    return policy
