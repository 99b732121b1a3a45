"""allweather tune."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from allweather.cli.console import guarded, progress, result, say
from allweather.cli.options import AsJson, CheckpointFile, Data, Download, OutCheckpoint, Seed, checkpoint_path


@guarded
def tune(
    checkpoint: CheckpointFile,
    data: Data,
    policy: Annotated[
        str, typer.Option(help="gps:K (the K views that vote best), learned (a weight a view), or any fixed one")
    ],
    out: OutCheckpoint,
    copies: Annotated[int, typer.Option(help="corrupted copies of each validation picture")] = 1,
    download: Download = False,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Finds a policy on corrupted validation pictures and stores it: a bundle made of it looks so by itself."""
    checkpoint_path(out)
    from allweather.runtimes.perceiver import refuse_unrunnable
    from allweather.runtimes.policy import TUNED, parse_policy
    from allweather.trainers import checkpoint as checkpoints
    from allweather.trainers import tuning
    from allweather.trainers.corrupting import Corrupting
    from allweather.trainers.targets import open_target

    start = checkpoints.load(checkpoint)
    if policy.partition(":")[0] not in TUNED:
        fixed = parse_policy(policy)
        refuse_unrunnable(fixed, start.predictor is not None)
        checkpoints.save(out, dataclasses.replace(start, policies=tuning.chosen_first(start.policies, fixed)))
        result({"checkpoint": str(out), "policy": policy, "views": list(fixed.views)}, as_json, "stored")
        return
    tuning.checked(policy)
    corrupting = Corrupting(copies=copies, seed=seed)
    with open_target(checkpoint) as target, progress("tune", None) as update:
        dataset = target.open_data(data, download=download)

        def watch(done: int, total: int) -> None:
            update(done, f"tune: {done} of {total} batches")

        answers = tuning.answers_of(target, dataset.val, corrupting, watch=watch)
    for note in dataset.notes:
        say(note)
    found, once = tuning.tune(answers, policy), tuning.center(answers)
    checkpoints.save(out, dataclasses.replace(start, policies=tuning.chosen_first(start.policies, found.policy)))
    facts = {
        "checkpoint": str(out),
        "policy": found.policy.name,
        "views": list(found.policy.views),
        "weights": list(found.policy.weights),
        "val_accuracy": found.accuracy,
        "val_accuracy_of_one_look": once.accuracy,
        "calibrated_likelihood": found.likelihood,
        "calibrated_likelihood_of_one_look": once.likelihood,
    }
    result(facts, as_json, "tuned")
