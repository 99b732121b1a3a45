"""allweather evaluate."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from allweather.cli.console import guarded, plain, progress, result, say, table
from allweather.cli.options import AsJson, Data, Download, Engine, Precision, Seed, beside, report_folder
from allweather.runtimes.errors import UsageError

if TYPE_CHECKING:
    from allweather.evaluation.model import EvaluatedModel
    from allweather.evaluation.robustness import Robustness
    from allweather.runtimes.types import Image
    from allweather.trainers.corruptions.sets.read import CorruptedSet
    from allweather.trainers.data.dataset import Dataset

GENERATE = "generate"


@guarded
def evaluate(
    targets: Annotated[list[Path], typer.Argument(help="checkpoints (.safetensors) and bundles, side by side")],
    data: Data,
    corrupted: Annotated[
        str | None, typer.Option(help="generate, or a folder like CIFAR-10-C or ImageNet-C: measures robustness")
    ] = None,
    augmented: Annotated[
        bool, typer.Option("--augmented", help="on augmented pictures of the strengths in a calibrated checkpoint")
    ] = False,
    transfer: Annotated[
        bool, typer.Option("--transfer", help="on shifted, gray and recolored pictures, and how much that changes")
    ] = False,
    baseline: Annotated[
        str | None, typer.Option(help="for the mean corruption error: alexnet, or a JSON file of errors in percent")
    ] = None,
    policy: Annotated[
        list[str] | None,
        typer.Option(
            help="center, hflip, 5crop, 10crop, all, random:K, set:VIEW,..., top:K, top:K+flip, oracle:K, a tuned one; "
            "with @0.95 votes end once settled. May be repeated"
        ),
    ] = None,
    engine: Engine = None,
    precision: Precision = None,
    out: Annotated[Path | None, typer.Option(help="folder for report.html, result.json and pictures")] = None,
    devices: Annotated[int, typer.Option(help="processes on this machine that share corrupted pictures")] = 1,
    seed: Seed = 0,
    download: Download = False,
    as_json: AsJson = False,
) -> None:
    """Measures classifiers on the test pictures: clean, or with --corrupted in nineteen kinds of bad weather."""
    report_folder(out)
    from allweather.evaluation.model import open_model

    chosen = engine.value if engine else None, precision.value if precision else None
    with ExitStack() as stack:
        # bundles get the engine; a checkpoint beside them runs in torch
        alone = all(path.suffix == ".safetensors" for path in targets)
        opened = [
            stack.enter_context(
                open_model(path)
                if path.suffix == ".safetensors" and not alone
                else open_model(path, engine=chosen[0], precision=chosen[1])
            )
            for path in targets
        ]
        if corrupted is None and (baseline or devices > 1):
            raise UsageError("--baseline and --devices go with --corrupted; add it")
        if transfer and (augmented or corrupted or policy):
            raise UsageError("--transfer is a measurement of its own; ask for one at a time")
        if policy and (augmented or baseline or devices > 1 or len(opened) > 1):
            raise UsageError("--policy compares policies of one target, with --corrupted or without; nothing else")
        if augmented and corrupted:
            raise UsageError("--augmented and --corrupted are two measurements; ask for one at a time")
        if len({target.classes for target in opened}) > 1:
            raise UsageError("the targets know different classes; compare those of one data set")
        if policy:
            _policies(opened[0], data, corrupted, policy, seed, download, out, as_json)
        elif transfer:
            _transfer(opened, data, download, out, as_json)
        elif augmented:
            _augmented(opened, data, download, out, as_json)
        elif corrupted is None:
            if len(opened) > 1:
                raise UsageError("several targets go with --corrupted, --augmented or --transfer; add one")
            _clean(opened[0], data, download, out, as_json)
        else:
            _robustness(opened, data, corrupted, baseline, devices, seed, download, out, as_json)


def _clean(target: EvaluatedModel, data: str, download: bool, out: Path | None, as_json: bool) -> None:
    from allweather.evaluation.clean import evaluate as evaluate_clean
    from allweather.reports.html import write_evaluation

    evaluation = evaluate_clean(target, target.open_data(data, download=download))
    for note in evaluation.notes:
        say(note)
    if target.policies and target.policies[0].max_views > 1:
        tuned = target.policies[0].name
        say(f"measured with one look at each picture; it was tuned to look {tuned}: --policy {tuned} measures that")
    if out:
        write_evaluation(evaluation, out)
    result(plain(evaluation), as_json, "evaluated")


def _augmented(targets: list[EvaluatedModel], data: str, download: bool, out: Path | None, as_json: bool) -> None:
    from allweather.evaluation.augmented import evaluate_augmented, examples
    from allweather.reports.augmented import accuracy_table, write_augmented

    strengths = next((target.strengths for target in targets if target.strengths), None)
    if strengths is None:
        raise UsageError(
            "none of the targets is a calibrated checkpoint; run: allweather calibrate CHECKPOINT --data DATA --out NEW"
        )
    results = []
    with progress("evaluate", None) as update:
        for target in targets:
            dataset = target.open_data(data, download=download)

            def watch(done: int, total: int, name: str = target.path.name) -> None:
                update(done, f"{name}: {done} of {total} rows")

            results.append(evaluate_augmented(target, dataset, strengths, watch=watch))
    for note in results[0].notes:
        say(note)
    if out:
        write_augmented(results, examples(dataset, strengths), out)
    if as_json:
        result({"results": [asdict(each) for each in results]}, as_json, "evaluated")
    else:
        table(accuracy_table(results))


def _transfer(targets: list[EvaluatedModel], data: str, download: bool, out: Path | None, as_json: bool) -> None:
    from allweather.evaluation.shifted import clusters, evaluate_shifted
    from allweather.reports.shifted import accuracy_table, write_transfer

    results, placed = [], []
    with progress("evaluate", None) as update:
        for target in targets:
            dataset = target.open_data(data, download=download)

            def watch(done: int, total: int, name: str = target.path.name) -> None:
                update(done, f"{name}: {done} of {total} sets")

            results.append(evaluate_shifted(target, dataset, watch=watch))
            placed.append(clusters(target, dataset) if out and target.features else None)
    for note in results[0].notes:
        say(note)
    if out:
        write_transfer(results, placed, out)
    if as_json:
        result({"results": [asdict(each) for each in results]}, as_json, "evaluated")
    else:
        table(accuracy_table(results))


def _policies(
    target: EvaluatedModel,
    data: str,
    corrupted: str | None,
    texts: list[str],
    seed: int,
    download: bool,
    out: Path | None,
    as_json: bool,
) -> None:
    from allweather.evaluation.policies import evaluate_policies
    from allweather.reports.policies import correlations, summary_table, write_policies
    from allweather.runtimes.tta.policy import parse_policy

    asked = [parse_policy(text, target.policies) for text in dict.fromkeys(texts)]
    dataset = target.open_data(data, download=download)
    source = _source(target, dataset, corrupted, seed) if corrupted else None
    keep = beside(out, ".cells")
    with progress("evaluate", None) as update:

        def watch(done: int, total: int) -> None:
            update(done, f"{target.path.name}: {done} of {total} cells")

        measured, turned = evaluate_policies(target, dataset, source, asked, seed=seed, keep=keep, watch=watch)
    for note in (*measured.notes, *correlations(measured)):
        say(note)
    if out:
        write_policies(measured, turned, out)
    if keep:
        shutil.rmtree(keep, ignore_errors=True)
    if as_json:
        result(asdict(measured), as_json, "evaluated")
    else:
        table(summary_table(measured))


def _source(target: EvaluatedModel, dataset: Dataset, corrupted: str, seed: int) -> CorruptedSet:
    from allweather.trainers.corruptions.sets.read import Generated, open_set

    if corrupted == GENERATE:
        return Generated(dataset.test.images.numpy(), dataset.test.labels.numpy(), seed)
    return open_set(Path(corrupted), target.classes, target.input)


def _robustness(
    targets: list[EvaluatedModel],
    data: str,
    corrupted: str,
    baseline: str | None,
    devices: int,
    seed: int,
    download: bool,
    out: Path | None,
    as_json: bool,
) -> None:
    from allweather.evaluation.baselines import read_baseline
    from allweather.evaluation.corrupted import evaluate_corrupted
    from allweather.reports.corrupted import error_table, summary_table, write_robustness
    from allweather.trainers.training.launch import launch

    against = read_baseline(baseline) if baseline else None
    fabric = launch(devices)
    keep = beside(out, ".cells")
    results: list[Robustness] = []
    seen: list[dict[str, Image]] = []
    with progress("evaluate", None) as update:
        for target in targets:
            dataset = target.open_data(data, download=download)
            source = _source(target, dataset, corrupted, seed)

            def watch(done: int, total: int, name: str = target.path.name) -> None:
                update(done, f"{name}: {done} of {total} cells")

            measured, pictures = evaluate_corrupted(
                target, dataset, source, baseline=against, fabric=fabric, keep=keep, watch=watch
            )
            results.append(measured)
            seen.append(pictures)
    if not fabric.is_global_zero:
        return
    for note in results[0].notes:
        say(note)
    if out:
        write_robustness(results, seen, out)
    if keep:
        shutil.rmtree(keep, ignore_errors=True)
    if as_json:
        result({"results": [asdict(each) for each in results]}, as_json, "evaluated")
    else:
        table(summary_table(results))
        table(error_table(results, list(results[0].errors())))
