"""allweather evaluate."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from allweather.cli.checks import check_report_folder, check_required_options, hidden_sibling
from allweather.cli.command_line import origin_of
from allweather.cli.console import handle_errors, print_result, print_table, say
from allweather.cli.options import AsJson, Data, Download, Engine, Limit, OwnModel, Precision, Seed, Stream, Workers
from allweather.cli.output_lock import locks_output
from allweather.cli.training import prepare_cpu
from allweather.runtimes.errors import UsageError

if TYPE_CHECKING:
    from allweather.trainers.inference.open_model import EvaluatedModel


@handle_errors
@locks_output
def evaluate(
    context: typer.Context,
    models: Annotated[
        list[Path],
        typer.Argument(help="Checkpoints (.safetensors) and bundles to evaluate; several are compared side by side."),
    ],
    data: Data,
    corrupted: Annotated[
        str | None,
        typer.Option(
            help="Evaluate on corrupted test images: generate makes them, or a folder in the layout of CIFAR-10-C or "
            "ImageNet-C."
        ),
    ] = None,
    corruption: Annotated[
        list[str] | None,
        typer.Option(help="Corruption to evaluate on, such as fog; may be repeated. All that there are if not given."),
    ] = None,
    limit: Limit = None,
    augmented: Annotated[
        bool,
        typer.Option("--augmented", help="Evaluate on augmented images, of the strengths in a finetuned checkpoint."),
    ] = False,
    shifted: Annotated[
        bool,
        typer.Option(
            "--shifted", help="Evaluate on shifted, gray and recolored images, and how much predictions change."
        ),
    ] = False,
    policy: Annotated[
        list[str] | None,
        typer.Option(
            help="Evaluate a test-time augmentation policy, with --corrupted also on those images; may be repeated. "
            "center, hflip, 5crop, 10crop, all, random:K, set:VIEW,..., top:K, top:K+flip, oracle:K or a tuned one; "
            "+logits at its end averages logits, @0.95 then stops early at that probability."
        ),
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(help="Baseline of the mean corruption error: alexnet, or a JSON file of errors in percent."),
    ] = None,
    engine: Engine = None,
    precision: Precision = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder to write report.html, result.json and the plots into; with several evaluations, a folder for "
            "each in it."
        ),
    ] = None,
    devices: Annotated[
        int, typer.Option(help="Number of processes on this machine that share the corrupted images.")
    ] = 1,
    own_model: OwnModel = None,
    stream: Stream = None,
    workers: Workers = None,
    seed: Seed = 0,
    download: Download = False,
    as_json: AsJson = False,
) -> None:
    """Evaluates models on clean, corrupted, augmented or shifted test images.

    All but --policy evaluate one view of each image without calibrated confidence, also of a model that is tuned for a
    policy of more views; --policy NAME evaluates that.

    Several evaluations run one after the other.

    --limit and --corruption make a small run of it, of which the report says that it is a part.

    The object of --json has a key for each of several evaluations; a single one is printed as it is.
    """
    check_report_folder(out)
    check_required_options(context, {"baseline": "corrupted", "devices": "corrupted", "corruption": "corrupted"})
    from allweather.cli.evaluations import Evaluations
    from allweather.trainers.data.files.outputs import check_output_is_no_class
    from allweather.trainers.data.streamed.reading import Reading

    reading = Reading(stream, workers)
    if out:
        check_output_is_no_class(out, data)
    prepare_cpu()
    with ExitStack() as stack:
        opened = _open_models(stack, models, engine, precision, own_model)
        keep = hidden_sibling(out, ".cells")
        evaluations = Evaluations(
            opened, data, reading=reading, download=download, seed=seed, keep=keep,
            origin=origin_of(context, seed) if out else None, limit=limit, corruptions=corruption or (),
        )  # fmt: skip
        requested = {
            **(
                {"corrupted": evaluations.prepare_corrupted(corrupted, baseline, devices, policy or ())}
                if corrupted
                else {}
            ),
            **({"augmented": evaluations.prepare_augmented()} if augmented else {}),
            **({"shifted": evaluations.evaluate_shifted} if shifted else {}),
            **({"policies": evaluations.prepare_policies(policy, corrupted)} if policy else {}),
        } or {"clean": evaluations.evaluate_clean}
        results: dict[str, Any] = {}
        for name, run in requested.items():
            folder = out / name if out and len(requested) > 1 else out
            result = run(folder)
            if result is None:  # a process that only took its share of the corrupted images
                return
            for note in result.notes:
                say(note)
            results[name] = result.values
            for table in () if as_json else result.tables:
                print_table(table)
            if result.facts and not as_json:
                print_result(result.facts, False, "evaluated")
    if keep:
        shutil.rmtree(keep, ignore_errors=True)
    if as_json:
        print_result(results if len(results) > 1 else next(iter(results.values())), True, "evaluated")


def _open_models(
    stack: ExitStack, paths: list[Path], engine: str | None, precision: str | None, own_model: str | None
) -> list[EvaluatedModel]:
    """Opens the models. Bundles get the engine; checkpoints beside them run in torch, and alone they refuse one."""
    from allweather.trainers.inference.open_model import open_model

    only_checkpoints = all(path.suffix == ".safetensors" for path in paths)
    if own_model and not any(path.suffix == ".safetensors" for path in paths):
        raise UsageError("--model is the network of a checkpoint, and none is given; leave it out")
    opened = [
        stack.enter_context(
            open_model(path, model=own_model)
            if path.suffix == ".safetensors" and not only_checkpoints
            else open_model(path, engine=engine, precision=precision, model=own_model if only_checkpoints else None)
        )
        for path in paths
    ]
    if len({tuple(sorted(model.classes)) for model in opened}) > 1:
        raise UsageError("the models have different classes; compare models of one data set")
    return opened
