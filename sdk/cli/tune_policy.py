"""allweather tune-policy."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from allweather.cli.checks import check_model_path, check_not_given, kind_of
from allweather.cli.console import handle_errors, print_result, print_table, progress_bar, say
from allweather.cli.inspect import say_inventory
from allweather.cli.options import AsJson, Data, Download, ModelFile, OutModel, OwnModel, Seed, Stream, Workers
from allweather.cli.output_lock import locks_output
from allweather.cli.training import prepare_cpu
from allweather.runtimes.errors import UsageError

if TYPE_CHECKING:
    from allweather.runtimes.tta.confidence_model import Acceptance
    from allweather.runtimes.tta.policy import Policy
    from allweather.trainers.inference.open_model import EvaluatedModel
    from allweather.trainers.policies.comparison import PolicyComparison
    from allweather.trainers.policies.selection import PolicyGain
    from allweather.trainers.policies.tuning import TunedPolicy


@handle_errors
@locks_output
def tune_policy(
    context: typer.Context,
    model: ModelFile,
    data: Data,
    out: OutModel,
    policy: Annotated[
        list[str] | None,
        typer.Option(
            help="Policy to compare, such as hflip, top:2, gps:3 or learned; may be repeated. The usual ones are "
            "compared if none is given; a single one is stored without a comparison."
        ),
    ] = None,
    max_views: Annotated[
        int,
        typer.Option(
            help="Largest number of views that the chosen policy runs for an image, on average; a run of the large "
            "classifier counts as the number of views that take as long."
        ),
    ] = 4,
    copies: Annotated[int, typer.Option(help="Number of corrupted copies of each validation image.")] = 1,
    risk: Annotated[
        float | None,
        typer.Option(
            help="Largest share of errors among accepted decisions, such as 0.02. The confidence from which decisions "
            "are accepted is found on half of the images, and stored if it holds the risk (at 95 %)."
        ),
    ] = None,
    own_model: OwnModel = None,
    stream: Stream = None,
    workers: Workers = None,
    download: Download = False,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Chooses and stores the best test-time augmentation policy.

    The policies are compared on corrupted validation images. One view is stored unless another policy is more accurate
    than it beyond chance (95 %, paired bootstrap); of policies that are level, the one that runs the fewest views, and
    of those that run as few, the most accurate. Each of the usual policies is compared twice: with the mean of the
    probabilities of its views and, as POLICY+logits, with that of their logits.

    A bundle follows its policy by default when it runs; evaluate measures one view unless its --policy names it. The
    model is a checkpoint, or a bundle that is written anew with the policy.

    With few images the confidence is calibrated badly: then a line says on how many it rests, and what to do.

    gps:K is found by greedy search: the K views whose average is best.

    learned has a weight for each view. All other policies are compared as they are.

    POLICY+large also runs a bundle's large classifier (export --large), with @0.9 only where the others are less
    confident. Each run counts as the number of views that take as long.

    The confidence of the stored policy is calibrated with a temperature for each number of views, unless it is stored
    without a comparison. With --risk it also says which decisions to accept, so that few of these are errors.
    """
    check_model_path(model, out)
    if max_views < 1:
        raise UsageError(f"--max-views is the number of views for an image, at least 1; got {max_views}")
    from allweather.runtimes.tta.confidence_model import check_share
    from allweather.runtimes.tta.policy import MAX_VIEWS
    from allweather.trainers.corruptions.sets.corrupted_copies import CopySettings
    from allweather.trainers.data.registry import dataset_hflip
    from allweather.trainers.data.streamed.reading import Reading
    from allweather.trainers.inference.open_model import open_model
    from allweather.trainers.policies.comparison import compare_policies, parse_requested
    from allweather.trainers.steps.tuning_images import few_images_sentences, tuning_images

    if risk is not None:
        check_share("risk", risk)
    reading = Reading(stream, workers)
    prepare_cpu()
    with open_model(model, model=own_model) as opened:
        hflip = dataset_hflip(data) if opened.hflip is None else opened.hflip
        requested = parse_requested(policy or (), opened, hflip=hflip)
        given = requested[0] if policy and len(policy) == 1 and not isinstance(requested[0], str) else None
        if given and risk is None:
            unused = ("max_views", "copies", "stream", "workers", "seed")
            check_not_given(context, unused, f"{given.name} is stored as it is")
            before = _store(opened, out, (given,), replace=False)
            _say_replaced(before, given.name)
            facts = {kind_of(model): str(out), "policy": given.name, "views": list(given.views)}
            print_result(facts, as_json, "stored")
            return
        if policy and len(policy) == 1:
            reason = f"--max-views chooses among policies, and {policy[0]} is the only one"
            check_not_given(context, ("max_views",), reason)
            max_views = MAX_VIEWS
        with progress_bar("tune-policy") as update:
            dataset = opened.open_data(data, reading=reading, download=download)

            def watch(done: int, total: int) -> None:
                update(done, f"tune-policy: {done} of {total} batches", total)

            say_inventory(dataset.inventory)
            images, target = tuning_images(dataset.val, opened.predict_losses is not None, risk)
            comparison = compare_policies(
                opened, images, requested,
                hflip=hflip, max_views=max_views, copy_settings=CopySettings(copies=copies, seed=seed), target=target,
                is_given=given is not None, watch=watch,
            )  # fmt: skip
        for note in dataset.notes:
            say(note)
        before = _store(opened, out, comparison.policies, replace=True)
    if not as_json and len(comparison.results) > 1:
        print_table(_rows(comparison.results, max_views))
    val_images = len(dataset.val) if len(images) < len(dataset.val) else None
    few = few_images_sentences(comparison.selection.images, val_images, copies)
    judgement = [*comparison.sentences(), *few]
    for line in judgement:
        say(line)
    _say_replaced(before, comparison.policies[0].name)
    values = _result(comparison, copies, risk, judgement if as_json else None)
    earlier = {"policies_before": before} if as_json else {}
    print_result({kind_of(model): str(out), **values, **earlier, "inventory": dataset.inventory}, as_json, "tuned")


def _store(opened: EvaluatedModel, out: Path, policies: tuple[Policy, ...], *, replace: bool) -> list[str]:
    """Writes the model with policies: with these alone, or with the first of them before those that it has.

    Returns:
        The names of those that it had before, the first of which was followed.
    """
    from allweather.exporters.addition import add_to_bundle
    from allweather.runtimes.bundle.bundle import Bundle
    from allweather.trainers.checkpoint.checkpoint_file import save_checkpoint
    from allweather.trainers.policies.tuning import put_first

    stored = policies if replace else put_first(opened.policies, policies[0])
    if isinstance(opened.source, Bundle):
        add_to_bundle(opened.source, None, stored, None, out)
    else:
        assert opened.source is not None
        save_checkpoint(out, dataclasses.replace(opened.source, policies=stored))
    return [each.name for each in opened.policies]


def _say_replaced(before: Sequence[str], now: str) -> None:
    """Says which policy is no longer followed."""
    if before and before[0] != now:
        say(f"{now} takes the place of {before[0]}, which was followed before")


def _result(
    comparison: PolicyComparison, copies: int, risk: float | None, judgement: Sequence[str] | None
) -> dict[str, object]:
    """Returns what the command prints on stdout; more with a judgement, for JSON."""
    selection = comparison.selection
    best, center, model = selection.chosen, selection.center, comparison.policies[0].confidence_model
    assert model is not None
    values: dict[str, object] = {
        "policy": best.policy.name,
        "views": list(best.policy.views),
        "weights": list(best.policy.weights),
        "images": selection.images,
        "copies": copies,
        "val_accuracy": best.accuracy,
        "center_val_accuracy": center.accuracy,
        "calibrated_log_likelihood": best.log_likelihood,
        "center_calibrated_log_likelihood": center.log_likelihood,
        "temperatures": list(model.temperatures),
        **({} if risk is None else _acceptance(model.acceptance)),
    }
    if judgement is not None:
        gains = {each.tuned.policy.name: each for each in selection.gains}
        values["level_with"] = list(selection.level_with)
        values["judgement"] = list(judgement)
        values["compared"] = [{**_facts(each), **_gain(gains.get(each.policy.name))} for each in comparison.results]
        values["confidence_model"] = dataclasses.asdict(model)
    return values


def _acceptance(found: Acceptance | None) -> dict[str, object]:
    """Returns from which confidence decisions are accepted, and how many are; None where no threshold was found."""
    threshold, coverage = (None, None) if found is None else (found.threshold, found.coverage)
    return {"accepted_from_confidence": threshold, "coverage": coverage}


def _facts(result: TunedPolicy) -> dict[str, object]:
    return {
        "policy": result.policy.name,
        "mean_views": result.mean_views,
        "val_accuracy": result.accuracy,
        "calibrated_log_likelihood": result.log_likelihood,
    }


def _gain(gain: PolicyGain | None) -> dict[str, object]:
    """Returns what a policy gains over one view; nothing for one that runs too many views to be chosen."""
    if gain is None:
        return {}
    bound = gain.at_least if math.isfinite(gain.at_least) else None  # JSON has no infinity
    return {"gain": gain.gain, "gain_at_least": bound, "better_beyond_chance": gain.at_least > 0}


def _rows(results: Sequence[TunedPolicy], max_views: int) -> list[Sequence[str]]:
    """Returns a table of policies, those with the fewest views first."""
    views = "time, in views" if any(each.policy.large for each in results) else "mean views"
    rows: list[Sequence[str]] = [("policy", views, "val accuracy, %", "calibrated log-likelihood")]
    for each in sorted(results, key=lambda each: each.mean_views):
        too_many = "" if each.mean_views <= max_views else f" > {max_views}"
        count, accuracy = f"{each.mean_views:.2f}{too_many}", f"{100 * each.accuracy:.2f}"
        rows.append((each.policy.name, count, accuracy, f"{each.log_likelihood:.4f}"))
    return rows
