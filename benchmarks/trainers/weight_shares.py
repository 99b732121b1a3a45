"""Measures classifiers between one before its finetuning and one after it; the same command resumes a killed run.

    python benchmarks/trainers/weight_shares.py START FINETUNED DATA FOLDER

START and FINETUNED are checkpoints of the same architecture, of which the second one has augmentation strengths. DATA
is a data set such as cifar10:ROOT, of which the val split is used. FOLDER gets a record for each share of the finetuned
weights (Wortsman et al. 2022): the accuracy on clean images, and the mean accuracy over the nine augmented rows of
table 3 of Kapoor et al.; and weight-shares.png. The rival is the straight line between both ends.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from run_records import RunRecord, load_record, new_record, save_record
from studies import errors_in_one_line, open_study_folder

from allweather.reports.figure import BLUE, GRAY, RED, png_figure
from allweather.reports.html import write_files
from allweather.runtimes.errors import UsageError
from allweather.runtimes.system.memory import keep_freed_memory
from allweather.trainers.checkpoint.checkpoint_file import load_checkpoint
from allweather.trainers.data.registry import open_dataset_of
from allweather.trainers.inference.forward import count_correct
from allweather.trainers.methods.clean_accuracy import mix_weights
from allweather.trainers.methods.pair_objective import compared_images, table_rows_correct
from allweather.trainers.training.launch import launch

STUDY = "weight-shares"
SHARES = (0.0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
CLEAN, AUGMENTED = "clean", "augmented"


def figure(records: Sequence[RunRecord]) -> bytes:
    """Returns a PNG of both accuracies over the share, each with the straight line between its ends."""
    with png_figure(6.5, 3.6) as (drawn, png):
        axes = drawn.add_subplot()
        for key, name, color, marker in ((CLEAN, "clean", BLUE, "o"), (AUGMENTED, "nine augmentations", RED, "s")):
            values = [record.results[key] for record in records]
            axes.plot(SHARES, values, marker=marker, color=color, label=name)
            axes.plot((0, 1), (values[0], values[-1]), "--", color=GRAY, linewidth=1)
        axes.set(xlabel="share of the finetuned weights", ylabel="accuracy on validation images, %")
        axes.legend(loc="lower right")
    return png.getvalue()


def main() -> None:
    """Measures the missing shares, and draws the picture."""
    keep_freed_memory()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("start", type=Path)
    parser.add_argument("finetuned", type=Path)
    parser.add_argument("data")
    parser.add_argument("folder", type=Path)
    args = parser.parse_args()
    start, finetuned, fabric = load_checkpoint(args.start), load_checkpoint(args.finetuned), launch()
    if not finetuned.strengths:
        raise UsageError(f"{args.finetuned} has no augmentation strengths; 'allweather finetune' makes one that has")
    open_study_folder(args.folder, start=args.start.name, finetuned=args.finetuned.name, data=args.data)
    val = open_dataset_of(args.data, start.classes, start.input).val
    first, last, records = start.classifier(), finetuned.classifier(), list[RunRecord]()
    for share in SHARES:
        path = args.folder / f"share-{share:g}.json"
        record = load_record(path)
        if record is None:
            model = mix_weights(first, last, share)
            correct = table_rows_correct(model, compared_images(val), finetuned.strengths, fabric)
            results = {
                CLEAN: 100 * count_correct(model, val, fabric) / len(val),
                AUGMENTED: 100 * float(correct.mean()),
            }
            facts = {"start": args.start.name, "finetuned": args.finetuned.name, "data": args.data, "images": len(val)}
            record = new_record(STUDY, f"{share:g}", 0, facts, results, fabric)
            save_record(path, record)
        print(
            f"{share:g}: clean {record.results[CLEAN]:.2f} %, augmented {record.results[AUGMENTED]:.2f} %", flush=True
        )
        records.append(record)
    write_files(args.folder, {"weight-shares.png": figure(records)})


if __name__ == "__main__":
    with errors_in_one_line():
        main()
