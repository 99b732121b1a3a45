"""allweather tune."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from allweather.cli.console import guarded, progress, result, say, table
from allweather.cli.options import (
    AsJson,
    CheckpointFile,
    Data,
    Download,
    OutCheckpoint,
    Seed,
    check_not_given,
    checkpoint_path,
)
from allweather.runtimes.errors import UsageError

if TYPE_CHECKING:
    from allweather.evaluation.policy_tuning import TunedPolicy
    from allweather.runtimes.tta.policy import Policy
    from allweather.trainers.checkpoint.checkpoint import Checkpoint


@guarded
def tune(
    context: typer.Context,
    checkpoint: CheckpointFile,
    data: Data,
    out: OutCheckpoint,
    policy: Annotated[
        list[str] | None, typer.Option(help="to compare; the usual ones without. A single one is stored as it is")
    ] = None,
    runs: Annotated[int, typer.Option(help="pictures that the classifier may look at for a frame, on average")] = 4,
    copies: Annotated[int, typer.Option(help="corrupted copies of each validation picture")] = 1,
    download: Download = False,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Finds the best policy on corrupted validation pictures and stores it: a bundle made of it looks so by itself.

    gps:K is found by greedy search (the K views that vote best), learned has a weight a view; others are as they are.
    """
    checkpoint_path(out)
    if runs < 1:
        raise UsageError(f"--runs is 1 picture a frame or more; got {runs}")
    from allweather.evaluation import policy_tuning as tuning
    from allweather.evaluation.model import open_model
    from allweather.runtimes.tta.policy import MAX_VIEWS, TUNED
    from allweather.trainers.checkpoint.checkpoint import load_checkpoint, save_checkpoint
    from allweather.trainers.corruptions.sets.corrupted_copies import CopySettings

    start = load_checkpoint(checkpoint)
    asked = [_understood(text, start) for text in policy or tuning.usual(start.predictor is not None)]
    known = [each for each in asked if not isinstance(each, str)]
    if policy and len(policy) == 1 and known:
        check_not_given(context, ("runs", "copies", "seed"), f"{policy[0]} is stored as it is")
        save_checkpoint(out, dataclasses.replace(start, policies=tuning.chosen_first(start.policies, known[0])))
        result({"checkpoint": str(out), "policy": policy[0], "views": list(known[0].views)}, as_json, "stored")
        return
    if policy and len(policy) == 1:
        check_not_given(context, ("runs",), f"--runs chooses among policies, and {policy[0]} is the only one")
        runs = MAX_VIEWS
    copy_settings = CopySettings(copies=copies, seed=seed)
    with open_model(checkpoint) as target, progress("tune", None) as update:
        dataset = target.open_data(data, download=download)

        def watch(done: int, total: int) -> None:
            update(done, f"tune: {done} of {total} batches")

        answers = tuning.view_probabilities(target, dataset.val, copy_settings, known, watch=watch)
    for note in dataset.notes:
        say(note)
    found = [tuning.tune(answers, each) for each in asked]
    chosen, once = tuning.best(found, runs), tuning.center(answers)
    kept = start.policies
    for each in (*(each for each in found if each.policy.name.partition(":")[0] in TUNED), chosen):
        kept = tuning.chosen_first(kept, each.policy)
    save_checkpoint(out, dataclasses.replace(start, policies=kept))
    if not as_json and len(found) > 1:
        table(_rows(found))
    facts = {
        "checkpoint": str(out),
        "policy": chosen.policy.name,
        "views": list(chosen.policy.views),
        "weights": list(chosen.policy.weights),
        "val_accuracy": chosen.accuracy,
        "val_accuracy_of_one_look": once.accuracy,
        "calibrated_likelihood": chosen.likelihood,
        "calibrated_likelihood_of_one_look": once.likelihood,
        **({"compared": [_facts(each) for each in found]} if as_json else {}),
    }
    result(facts, as_json, "tuned")


def _understood(text: str, start: Checkpoint) -> Policy | str:
    """A policy that can be followed, or the name of one that is to be found.

    Raises:
        UsageError: it is neither.
    """
    from allweather.evaluation import policy_tuning as tuning
    from allweather.runtimes.perceiver import check_runnable
    from allweather.runtimes.tta.policy import TUNED, parse_policy

    if "@" not in text and text.partition(":")[0] in TUNED:
        tuning.checked(text)
        return text
    fixed = parse_policy(text, start.policies)
    check_runnable(fixed, start.predictor is not None)
    return fixed


def _facts(found: TunedPolicy) -> dict[str, object]:
    return {
        "policy": found.policy.name,
        "runs": found.runs,
        "val_accuracy": found.accuracy,
        "calibrated_likelihood": found.likelihood,
    }


def _rows(found: Sequence[TunedPolicy]) -> list[Sequence[str]]:
    """A table of policies, the cheapest first."""
    rows: list[Sequence[str]] = [("policy", "runs", "val accuracy, %", "calibrated log-likelihood")]
    for each in sorted(found, key=lambda each: each.runs):
        rows.append((each.policy.name, f"{each.runs:.2f}", f"{100 * each.accuracy:.2f}", f"{each.likelihood:.4f}"))
    return rows
