"""Decides whether experts pay: BatchNorm statistics of kinds of weather, folded into one network, chosen per image.

    python benchmarks/experts/experts.py CHECKPOINT DATA CORRUPTED FOLDER --network NAME [--parts all] [--seed 0]
        [--trial]

Rivals: the network as it is, its horizontal flip, and a loss predictor of the twelve views without experts that was
trained on the same images. CHECKPOINT is a CIFAR ResNet, DATA its data set such as cifar10:ROOT, CORRUPTED the folder
of a corrupted test set. Statistics, routers and predictors come from training images; the mix of the statistics, the
experts and the pairs of view and expert that are kept, and the margins for clean images from validation images under
our own corruptions. Test images are used once, at the end. FOLDER gets a record for each row, and for each policy the
gain of experts with its paired 95 % interval. Nothing of the network is trained. --trial takes few images, to
see that all parts run.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from expert_choice import incorrect_by_choice
from expert_images import COMMON_CELLS, GROUPS, OWN, CellImages, clean_images, corrupted_images, joined, test_images
from expert_models import SOURCE, Mix, Pair, PairLogits, statistics
from expert_study import (
    IDENTITY,
    MIXES,
    Chooser,
    Sizes,
    Study,
    all_experts,
    choose_experts,
    choose_mix,
    choose_pairs,
    known,
    make_banks,
    make_predictors,
    make_routers,
)
from lightning_fabric import Fabric
from run_records import new_record, save_record
from studies import errors_in_one_line, open_study_folder

from allweather.runtimes.system.memory import keep_freed_memory
from allweather.runtimes.tta.views import VIEWS
from allweather.trainers.checkpoint.checkpoint_file import load_checkpoint
from allweather.trainers.data.registry import open_dataset_of
from allweather.trainers.inference.forward import logits
from allweather.trainers.training.launch import launch
from allweather.trainers.training.uncertainty import mean_interval

POLICIES = {"top:1": (1, False), "top:2": (2, False), "top:1+flip": (1, True), "top:2+flip": (2, True)}
VIEWS_ALONE, PAIRS, EXPERTS_ALONE = "twelve views", "pairs", "15 experts"
TRIAL = Sizes(60, 30, 600, 600, 400, 100, 5, 1, 6, 100, 1)
Incorrect = npt.NDArray[np.bool_]


def choose(study: Study, parts: str) -> tuple[Mix, Iterator[Chooser]]:
    """Makes the choices on validation images; returns the mix, and one by one what chooses experts or pairs."""
    clean = clean_images(study.data.val)
    clean = clean.take(np.arange(min(len(clean), study.sizes.val)))
    corrupted = corrupted_images(clean, COMMON_CELLS, study.seed)
    study.found[SOURCE] = statistics(study.model)
    banks = make_banks(study)
    study.say(f"{len(banks)} sets of statistics")
    mix = choose_mix(study, corrupted, banks)
    val = joined([corrupted, clean])
    run = PairLogits(val.images, study.experts, len(study.data.classes))

    def choosers() -> Iterator[Chooser]:
        if parts != "predictors":
            kept, losses = choose_experts(study, val, run, mix)
            yield from make_routers(study, val, run, mix, kept, losses)
        if parts != "routers":
            columns = {PAIRS: choose_pairs(study, val, run, mix), VIEWS_ALONE: [Pair(name) for name in VIEWS]}
            yield from make_predictors(study, val, run, columns | {EXPERTS_ALONE: all_experts(mix)})

    return mix, choosers()


def tested(
    study: Study, mix: Mix, choosers: Iterator[Chooser], test: CellImages
) -> Iterator[tuple[str, int, dict[str, Any], Incorrect]]:
    """Yields the rows: name, forward passes, what was chosen, and whether each prediction is incorrect, bool [n]."""
    experts, facts = study.experts, study.facts
    run = PairLogits(test.images, experts, len(study.data.classes))
    everywhere = np.zeros((len(test), 1))
    for name, flip in ((SOURCE, False), ("hflip", True)):
        yield name, 1 + flip, {}, incorrect_by_choice(everywhere, [IDENTITY], 1, flip, run, test.labels)
    for each in dict.fromkeys((*MIXES[: min(3, study.sizes.mixes)], mix)):
        chosen = {key: value for key, value in facts.items() if "pairs" not in key}
        yield f"corruption known, a = {each.name}", 1, chosen, known(experts, test, each, halves=False)
    for chooser in choosers:
        predicted = logits(chooser.model, torch.from_numpy(test.images)).numpy()
        routed = chooser.name.startswith("routed")
        own = {"mix": mix.name, "columns": [pair.name for pair in chooser.pairs]}
        for policy, (top, flip) in POLICIES.items():
            if routed and (top > 1 or (flip and "five" not in chooser.name)):
                continue
            name = chooser.name + (", hflip" if flip else "") if routed else f"{chooser.name}, {policy}"
            incorrect = incorrect_by_choice(predicted, chooser.pairs, top, flip, run, test.labels)
            yield name, top * (1 + flip), own, incorrect


def errors(incorrect: Incorrect, test: CellImages) -> dict[str, float]:
    """Returns the errors in percent, by group of test images."""
    return {name: 100 * float(incorrect[test.group == index].mean()) for index, name in enumerate(GROUPS)}


def gains(better: Incorrect, rival: Incorrect, test: CellImages) -> dict[str, float]:
    """Returns by how many points the error of one row is below that of another, with paired intervals over images."""
    found = {}
    for index, name in enumerate(GROUPS):
        rows = np.flatnonzero(test.group == index)
        change = 100 * (rival[rows].astype(float) - better[rows])
        means = [change[test.source[rows] == image].mean() for image in np.unique(test.source[rows])]
        interval = mean_interval(np.array(means))
        found |= {name: interval.value, f"{name} low": interval.low, f"{name} high": interval.high}
    return found


def save(
    args: argparse.Namespace, row: str, facts: Mapping[str, Any], results: Mapping[str, float], fabric: Fabric
) -> None:
    """Writes the record of a row."""
    settings = {"network": args.network, "checkpoint": args.checkpoint.name, "data": args.data, **facts}
    study = "experts-gain" if row.startswith("gain") else "experts"
    record = new_record(study, row.removeprefix("gain "), args.seed, settings, results, fabric)
    file = f"{args.network}-{row}".translate(str.maketrans({" ": "-", ",": "", ":": "-", "+": "-", "=": ""}))
    save_record(args.folder / f"{file}-{args.seed}.json".replace("--", "-"), record)


def main() -> None:
    """Makes all choices, tests every row once, and writes the records."""
    keep_freed_memory()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("data")
    parser.add_argument("corrupted", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--network", required=True, help="name of the network in the records")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--parts", choices=("all", "routers", "predictors"), default="all")
    parser.add_argument("--trial", action="store_true")
    args = parser.parse_args()
    start, fabric = load_checkpoint(args.checkpoint), launch()
    data = open_dataset_of(args.data, start.classes, start.input)
    open_study_folder(args.folder, data=args.data, seed=args.seed, trial=args.trial)
    sizes = TRIAL if args.trial else Sizes()
    study = Study(start.classifier().eval(), start.input, data, sizes, args.seed)
    mix, choosers = choose(study, args.parts)
    test = test_images(start, data, args.corrupted, sizes.own, sizes.cell)
    rows = {}
    for name, passes, facts, incorrect in tested(study, mix, choosers, test):
        rows[name], found = incorrect, errors(incorrect, test)
        study.say(f"{name:45}", " ".join(f"{value:6.2f}" for value in found.values()))
        save(args, name, {"passes": passes, **facts}, found, fabric)
    np.savez_compressed(
        args.folder / f"{args.network}-{args.parts}-{args.seed}.npz", group=test.group, source=test.source, **rows
    )
    for policy in () if args.parts == "routers" else POLICIES:
        found = gains(rows[f"{PAIRS}, {policy}"], rows[f"{VIEWS_ALONE}, {policy}"], test)
        study.say("gain", policy, {name: round(value, 2) for name, value in found.items()})
        save(args, f"gain {policy}", {"images": int((test.group == OWN).sum())}, found, fabric)


if __name__ == "__main__":
    with errors_in_one_line():
        main()
