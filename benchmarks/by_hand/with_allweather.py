"""The task of by_hand.py with allweather: python benchmarks/by_hand/with_allweather.py FOLDER (see prepare.py)."""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from pathlib import Path

import numpy as np
import torch

import allweather
from allweather import evaluation, exporters, trainers

SIDE, EVERY = 32, 5  # pixels; every fifth test image is corrupted


def main() -> None:
    """Does the task and prints seconds and results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    folder, seconds, result = parser.parse_args().folder, {}, {}
    data = trainers.load_dataset(f"folder:{folder / 'images'}", SIDE)
    spec = allweather.InputSpec(SIDE, SIDE)
    start = trainers.checkpoint_from_state_dict(folder / "resnet18d.pth", "timm:resnet18d", data.classes, spec)
    few = dataclasses.replace(data, test=data.test.take(torch.arange(0, len(data.test), EVERY)))

    started = time.perf_counter()
    result["clean error"] = 1 - evaluation.evaluate(start, data).accuracy
    result["corrupted error"] = evaluation.evaluate_corrupted(start, few).common.error
    seconds["corruption benchmark"] = time.perf_counter() - started

    started = time.perf_counter()
    tuned = trainers.tune_policy(trainers.train_predictor(start, data), data)
    result["views"] = tuned.policies[0].name
    policies = evaluation.evaluate_policies(tuned, few, [result["views"]], corrupted="generate")
    (chosen,) = [each for each in policies.results if each.policy == result["views"]]
    result["corrupted error with views"] = chosen.common.value
    seconds["test-time augmentation"] = time.perf_counter() - started

    started = time.perf_counter()
    manifest = exporters.export(tuned, data, folder / "my.aw")
    int8 = next(model.parity for model in manifest.models if model.precision == "int8" and model.role == "classifier")
    result["int8 loses, clean"] = int8.reference_accuracy - int8.accuracy
    result["int8 loses, corrupted"] = int8.reference_corrupted_accuracy - int8.corrupted_accuracy
    seconds["INT8 with parity"] = time.perf_counter() - started

    started = time.perf_counter()
    perceiver = allweather.load(folder / "my.aw", budget_ms=33)
    decisions = list(allweather.watch(folder / "video.mp4", perceiver))
    result["decisions"], result["late for 33 ms"] = len(decisions), sum(decision.late for decision in decisions)
    result["ms a frame, median"] = 1000 * float(np.median([decision.times.total for decision in decisions]))
    seconds["video loop"] = time.perf_counter() - started
    print(json.dumps({"seconds": seconds, **result}, indent=1))


if __name__ == "__main__":
    main()
