"""allweather tune-policy."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from allweather.cli.checks import check_checkpoint_path, check_not_given
from allweather.cli.console import handle_errors, print_result, print_table, progress_bar, say
from allweather.cli.inspect import say_inventory
from allweather.cli.options import AsJson, CheckpointFile, Data, Download, OutCheckpoint, Seed
from allweather.cli.output_lock import locks_output
from allweather.cli.training import prepare_cpu
from allweather.runtimes.errors import UsageError

if TYPE_CHECKING:
    from allweather.runtimes.tta.policy import Policy
    from allweather.trainers.checkpoint.checkpoint import Checkpoint
    from allweather.trainers.policies.selection import PolicyGain, PolicySelection
    from allweather.trainers.policies.tuning import TunedPolicy


@handle_errors
@locks_output
def tune_policy(
    context: typer.Context,
    checkpoint: CheckpointFile,
    data: Data,
    out: OutCheckpoint,
    policy: Annotated[
        list[str] | None,
        typer.Option(
            help="Policy to compare, such as hflip, top:2, gps:3 or learned; may be repeated. The usual ones are "
            "compared if none is given; a single one is stored without a comparison."
        ),
    ] = None,
    max_views: Annotated[
        int, typer.Option(help="Largest number of views that the chosen policy runs for an image, on average.")
    ] = 4,
    copies: Annotated[int, typer.Option(help="Number of corrupted copies of each validation image.")] = 1,
    download: Download = False,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Chooses and stores the best test-time augmentation policy.

    The policies are compared on corrupted validation images. One view is stored unless another policy is more accurate
    than it beyond chance (95 %, paired bootstrap); of policies that are level, the one that runs the fewest views.

    A bundle made of the checkpoint follows the policy by default.

    gps:K is found by greedy search: the K views whose averaged probabilities are best.

    learned has a weight for each view. All other policies are compared as they are.
    """
    check_checkpoint_path(out)
    if max_views < 1:
        raise UsageError(f"--max-views is the number of views for an image, at least 1; got {max_views}")
    from allweather.runtimes.tta.policy import MAX_VIEWS, TUNED
    from allweather.trainers.checkpoint.checkpoint_file import load_checkpoint, save_checkpoint
    from allweather.trainers.corruptions.sets.corrupted_copies import CopySettings
    from allweather.trainers.data.registry import dataset_hflip
    from allweather.trainers.inference.open_model import open_model
    from allweather.trainers.policies import tuning
    from allweather.trainers.policies.selection import select_policy

    start = load_checkpoint(checkpoint)
    hflip = dataset_hflip(data) if start.hflip is None else start.hflip
    usual = tuning.default_policies(start.predictor is not None, hflip=hflip)
    requested = [_parse(text, start) for text in policy or usual]
    fixed = [each for each in requested if not isinstance(each, str)]
    if policy and len(policy) == 1 and fixed:
        check_not_given(context, ("max_views", "copies", "seed"), f"{policy[0]} is stored as it is")
        save_checkpoint(out, dataclasses.replace(start, policies=tuning.put_first(start.policies, fixed[0])))
        facts = {"checkpoint": str(out), "policy": policy[0], "views": list(fixed[0].views)}
        print_result(facts, as_json, "stored")
        return
    if policy and len(policy) == 1:
        check_not_given(context, ("max_views",), f"--max-views chooses among policies, and {policy[0]} is the only one")
        max_views = MAX_VIEWS
    copy_settings = CopySettings(copies=copies, seed=seed)
    prepare_cpu()
    with open_model(checkpoint) as model, progress_bar("tune-policy") as update:
        dataset = model.open_data(data, download=download)

        def watch(done: int, total: int) -> None:
            update(done, f"tune-policy: {done} of {total} batches", total)

        say_inventory(dataset.inventory)
        candidates = tuning.candidate_views(hflip=hflip) if len(fixed) < len(requested) else ()
        probabilities = tuning.view_probabilities(
            model, dataset.val, copy_settings, fixed, candidates=candidates, watch=watch
        )
    for note in dataset.notes:
        say(note)
    results = [tuning.tune(probabilities, each) for each in requested]
    selection = select_policy(results, tuning.evaluate_center(probabilities), max_views)
    policies = start.policies
    for each in (*(each for each in results if each.policy.name.partition(":")[0] in TUNED), selection.chosen):
        policies = tuning.put_first(policies, each.policy)
    save_checkpoint(out, dataclasses.replace(start, policies=policies))
    if not as_json and len(results) > 1:
        print_table(_rows(results))
    for line in selection.sentences():
        say(line)
    values = _result(out, selection, results, copies, as_json)
    print_result({**values, "inventory": dataset.inventory}, as_json, "tuned")


def _result(
    out: Path, selection: PolicySelection, results: Sequence[TunedPolicy], copies: int, as_json: bool
) -> dict[str, object]:
    """Returns what the command prints on stdout."""
    best, center = selection.chosen, selection.center
    values: dict[str, object] = {
        "checkpoint": str(out),
        "policy": best.policy.name,
        "views": list(best.policy.views),
        "weights": list(best.policy.weights),
        "images": selection.images,
        "copies": copies,
        "val_accuracy": best.accuracy,
        "center_val_accuracy": center.accuracy,
        "calibrated_log_likelihood": best.log_likelihood,
        "center_calibrated_log_likelihood": center.log_likelihood,
    }
    if as_json:
        gains = {each.tuned.policy.name: each for each in selection.gains}
        values["level_with"] = list(selection.level_with)
        values["judgement"] = selection.sentences()
        values["compared"] = [{**_facts(each), **_gain(gains.get(each.policy.name))} for each in results]
    return values


def _parse(text: str, start: Checkpoint) -> Policy | str:
    """Returns a policy that can be followed as it is, or the text of one that tuning has to find.

    Raises:
        UsageError: It is neither.
    """
    from allweather.runtimes.perceiver import check_runnable
    from allweather.runtimes.tta.policy import TUNED, parse_policy
    from allweather.runtimes.tta.views import VIEWS
    from allweather.trainers.policies import tuning

    if "@" not in text and text.partition(":")[0] in TUNED:
        tuning.parse_tuning(text)
        return text
    predictor_views = start.predictor.views if start.predictor else tuple(VIEWS)
    policy = parse_policy(text, start.policies, predictor_views)
    check_runnable(policy, start.predictor is not None)
    return policy


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


def _rows(results: Sequence[TunedPolicy]) -> list[Sequence[str]]:
    """Returns a table of policies, those with the fewest views first."""
    rows: list[Sequence[str]] = [("policy", "mean views", "val accuracy, %", "calibrated log-likelihood")]
    for each in sorted(results, key=lambda each: each.mean_views):
        rows.append(
            (each.policy.name, f"{each.mean_views:.2f}", f"{100 * each.accuracy:.2f}", f"{each.log_likelihood:.4f}")
        )
    return rows
