"""Evaluates the committed classifiers on clean and corrupted test images; the same command resumes.

    python benchmarks/trainers/committed_checkpoints.py DATA CORRUPTED FOLDER [--only NAME ...]

DATA is cifar10:ROOT, CORRUPTED a folder of corrupted test images such as the reference set. FOLDER gets a record for
each checkpoint of samples/checkpoints that is a classifier, with its error on the clean images, on the 15 common and
the 4 extra corruptions, in percent.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from model_tables import CHECKPOINTS, MODELS, STUDY
from run_records import load_record, new_record, save_record
from studies import errors_in_one_line

from allweather.evaluation import evaluate_corrupted
from allweather.runtimes.errors import unknown_name
from allweather.runtimes.system.memory import keep_freed_memory
from allweather.trainers.training.launch import launch


def main() -> None:
    """Evaluates the checkpoints that have no record yet."""
    keep_freed_memory()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("corrupted")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="*", default=list(MODELS), help="checkpoints to evaluate, without .safetensors")
    args = parser.parse_args()
    for name in args.only:
        if name not in MODELS:
            raise unknown_name("checkpoint", name, MODELS)
    args.folder.mkdir(parents=True, exist_ok=True)
    fabric = launch()
    for name in args.only:
        path = args.folder / f"{name}.json"
        if load_record(path) is not None:
            continue
        result = evaluate_corrupted(CHECKPOINTS / f"{name}.safetensors", args.data, args.corrupted)
        assert result.common, "a set without common corruptions"
        assert result.extra, "a set without extra corruptions"
        errors = {"clean": result.clean.error, "common": result.common.error, "extra": result.extra.error}
        settings = {"data": args.data, "corrupted": args.corrupted, "images": result.provenance.images}
        percent = {key: 100 * value for key, value in errors.items()}
        save_record(path, new_record(STUDY, name, 0, settings, percent, fabric))
        print(name, {key: round(value, 2) for key, value in percent.items()}, flush=True)


if __name__ == "__main__":
    with errors_in_one_line():
        main()
