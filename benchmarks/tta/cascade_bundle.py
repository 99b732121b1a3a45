"""Measures a bundle with a large classifier as the camera loop runs it: error against the mean time of a frame.

    python benchmarks/tta/cascade_bundle.py DATA CORRUPTED FOLDER BUNDLE [--large BUNDLE] [--precision int8]

BUNDLE was made by `allweather export SMALL --large LARGE` with a loss predictor. Its policies with and without the
large classifier are compared, and with those of another bundle, such as one of the large classifier alone. Errors are
those of the clean test images and of the corrupted set in the folder CORRUPTED. Times are means over frames on which
all decide in turn, each the shortest of three. Nothing is chosen here: the thresholds are the two that `tune-policy`
compares. FOLDER gets a record of each policy.
"""

from __future__ import annotations

import argparse
import sys
from itertools import groupby
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).resolve().parents[1] / "trainers"))  # a script finds only what is beside it
from bigger_network import POLICIES, Rival, errors, milliseconds
from run_records import new_record, save_record
from studies import errors_in_one_line, open_study_folder

from allweather.runtimes.system.memory import keep_freed_memory
from allweather.trainers.policies.tuning import LARGE_POLICIES, LARGE_PREDICTOR_POLICIES
from allweather.trainers.training.launch import launch

REPEATS = 3


def main() -> None:
    """Measures all policies, prints them and keeps a record of each."""
    keep_freed_memory()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("corrupted", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--large", type=Path, help="bundle of the large classifier, with a loss predictor of its own")
    parser.add_argument("--precision", default="int8")
    parser.add_argument("--engine", default="openvino")
    parser.add_argument("--clean", type=int, default=10000, help="clean test images")
    parser.add_argument("--frames", type=int, default=200, help="frames that are timed, of each kind")
    args = parser.parse_args()
    open_study_folder(args.folder, **{name: value for name, value in vars(args).items() if name != "folder"})
    policies = (*POLICIES, *LARGE_POLICIES, *LARGE_PREDICTOR_POLICIES)
    rivals = [Rival(args.bundle, args.precision, policy) for policy in policies]
    rivals += [Rival(args.large, args.precision, policy) for policy in POLICIES if args.large]
    times = milliseconds(rivals, args, repeats=REPEATS, average=np.mean)
    found: dict[str, dict[str, float]] = {}
    for _, own in groupby(rivals, key=lambda rival: rival.bundle):
        found |= errors(list(own), args)
    fabric = launch()
    for rival in rivals:
        facts: dict[str, object] = {"bundle": rival.bundle.name, "precision": rival.precision, "policy": rival.policy}
        results = {**found[rival.name], **times[rival.name]}
        save_record(rival.record(args.folder), new_record("cascade-bundle", rival.name, 0, facts, results, fabric))
        print(f"{rival.name:40}", {key: round(value, 2) for key, value in results.items()}, flush=True)


if __name__ == "__main__":
    with errors_in_one_line():
        main()
