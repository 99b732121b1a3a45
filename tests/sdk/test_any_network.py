"""Networks of every kind go the whole way: trained, finetuned, given a predictor and a policy, exported, and run."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from torch import nn

import allweather
from allweather import trainers
from allweather.exporters import ExportOptions, export

if TYPE_CHECKING:
    from allweather.trainers.data.dataset import Dataset

STRENGTHS = {
    "brightness+": 0.2, "brightness-": -0.2, "saturation+": 2.0, "saturation-": 0.5, "gaussian_blur": 0.8,
    "gaussian_noise": 0.1, "salt_and_pepper": 0.05,
}  # fmt: skip
FIT = trainers.FitSettings(epochs=1, batch_size=40)


def own_network() -> nn.Module:
    layers = nn.Conv2d(3, 16, 3, 2), nn.BatchNorm2d(16), nn.SiLU(), nn.Conv2d(16, 16, 3, 2), nn.GELU()
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 3))


@pytest.mark.end_to_end
@pytest.mark.parametrize("network", ["own", "torchvision:mobilenet_v3_small", "timm:test_vit"])
def test_every_kind_of_network_goes_the_whole_way(network: str, dataset: Dataset, tmp_path: Path) -> None:
    dataset = dataset.subset(0.34, seed=0)  # 40 images and one step an epoch
    plain = trainers.train(own_network() if network == "own" else network, dataset, settings=FIT)
    robust = dataclasses.replace(plain, strengths=STRENGTHS)  # as if they had been searched
    for method in ("fma", "st", "robust"):
        robust = trainers.finetune(robust, dataset, settings=trainers.FinetuneSettings(method, fit=FIT))
    seeing = trainers.train_predictor(robust, dataset, epochs=1)
    comparisons: list[trainers.PolicyComparison] = []
    tuned = trainers.tune_policy(seeing, dataset, ("center", "hflip", "top:2"), compared=comparisons.append)
    assert [[each.policy.name for each in comparison.results] for comparison in comparisons] == [
        ["center", "hflip", "top:2"]
    ]
    assert tuned.policies == comparisons[0].policies
    tuned = dataclasses.replace(tuned, policies=tuple(p for p in tuned.policies if p.name == "top:2") or tuned.policies)
    options = ExportOptions(["openvino"], ["int8"], force=True)  # after one epoch the logits are too close for the gate
    manifest = export(tuned, dataset, tmp_path / "x.aw", options)
    assert {model.role for model in manifest.models} == {"classifier", "predictor"}
    perceiver = allweather.load(tmp_path / "x.aw", budget_ms=10_000)
    frames = [np.ascontiguousarray(image) for image in dataset.test.images.numpy()]
    decisions = [perceiver(frame) for frame in frames]
    perceiver.close()
    assert all(decision.label in dataset.classes and np.isfinite(decision.confidence) for decision in decisions)
