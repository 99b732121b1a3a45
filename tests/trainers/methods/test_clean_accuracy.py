"""Finetuned weights are mixed with those before as far as clean images want it, and no further."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
import torch
from torch import nn

from allweather.trainers.augmentations.photometric import AUGMENTATIONS
from allweather.trainers.checkpoint.checkpoint import Checkpoint
from allweather.trainers.data.dataset import Dataset, Split
from allweather.trainers.inference.forward import count_correct
from allweather.trainers.methods import clean_accuracy
from allweather.trainers.methods.clean_accuracy import STEPS, mix_weights, mix_within, warn_of_clean_drop
from allweather.trainers.methods.finetune import FinetuneSettings, finetune
from allweather.trainers.models.classifier import Classifier
from allweather.trainers.models.registry import build_model
from allweather.trainers.training.launch import launch
from allweather.trainers.training.settings import FitSettings

PAPER = {name: augmentation.paper for name, augmentation in AUGMENTATIONS.items()}


def another(checkpoint: Checkpoint) -> Classifier:
    """A classifier of the same architecture that has learned nothing."""
    torch.manual_seed(7)
    return build_model(checkpoint.arch, len(checkpoint.classes), checkpoint.input).eval()


class Own(nn.Module):
    """A network with weights that two layers share, buffers of several kinds and a state of its own."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 3)
        self.second.weight = self.first.weight
        self.register_buffer("steps", torch.tensor(seed))
        self.register_buffer("phase", torch.randn(2, dtype=torch.complex64))
        self.register_buffer("none", torch.zeros(0))

    def get_extra_state(self) -> dict[str, int]:
        return {"version": 1}

    def set_extra_state(self, state: dict[str, int]) -> None:
        assert state == {"version": 1}


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_shared_weights_are_mixed_once_and_buffers_as_what_they_are(share: float) -> None:
    start, end = Own(1), Own(2)
    mixed = mix_weights(start, end, share)
    before, after = start.state_dict(), end.state_dict()
    for name, value in mixed.state_dict().items():
        if name == "steps":
            assert value == (2 if share else 1)
        elif isinstance(value, torch.Tensor):
            assert torch.allclose(value, (1 - share) * before[name] + share * after[name], atol=1e-6), name


@pytest.mark.slow
def test_weights_and_statistics_are_on_the_line_between_both(checkpoint: Checkpoint) -> None:
    start, end = checkpoint.classifier(), another(checkpoint)
    before, after = start.state_dict(), end.state_dict()
    for share in (0.0, 0.25, 1.0):
        mixed = mix_weights(start, end, share).state_dict()
        for name, value in mixed.items():
            if value.is_floating_point():
                expected = (1 - share) * before[name] + share * after[name]
                assert torch.allclose(value, expected, atol=1e-6), name
            else:
                assert torch.equal(value, (after if share else before)[name]), name
    assert all(torch.equal(value, before[name]) for name, value in start.state_dict().items())
    assert all(torch.equal(value, after[name]) for name, value in end.state_dict().items())


@pytest.mark.slow
def test_the_share_is_the_largest_that_loses_little_enough(checkpoint: Checkpoint, dataset: Dataset) -> None:
    start, end, fabric = checkpoint.classifier(), another(checkpoint), launch()
    correct = [count_correct(mix_weights(start, end, step / STEPS), dataset.val, fabric) for step in range(STEPS + 1)]
    assert correct[-1] < 0.7 * correct[0], "the other network must be worse for the test to mean anything"
    for max_drop in (0.0, 0.1, 0.5, 0.99):
        mixed = mix_within(start, end, dataset.val, max_drop, fabric)
        allowed = [step for step, count in enumerate(correct) if count >= correct[0] - max_drop * len(dataset.val)]
        assert mixed.share == max(allowed) / STEPS
        assert count_correct(mixed.model, dataset.val, fabric) == correct[max(allowed)]
    assert mix_within(end, start, dataset.val, 0.0, fabric).share == 1.0


@pytest.mark.parametrize(
    ("images", "before", "after", "darkens", "told"),
    [
        (240, 239, 230, True, "from 99.6 to 95.8 %: .* --strategy ca"),
        (240, 239, 230, False, "--max-clean-drop 1, in Python max_clean_drop=1, bounds that$"),
        (5000, 4575, 4450, True, ""),  # 2.5 points, what `robust` may cost
        (60, 57, 53, True, ""),  # 6.7 points, which so few images make by chance
        (5000, 4450, 4575, True, ""),
    ],
)
def test_what_finetuning_costs_clean_images_is_told(
    images: int, before: int, after: int, darkens: bool, told: str,
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    monkeypatch.setattr(clean_accuracy, "count_correct", lambda *_: before)
    val = Split(torch.zeros(images, 1, 1, 3, dtype=torch.uint8), torch.zeros(images, dtype=torch.int64))
    warn_of_clean_drop(nn.Identity(), after / images, val, launch(), darkens=darkens)
    assert bool(caplog.messages) == bool(told)
    assert not told or re.search(told, caplog.messages[0])


@pytest.mark.slow
def test_a_finetuning_that_harms_clean_images_is_mixed(
    checkpoint: Checkpoint, dataset: Dataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    known, dataset = dataclasses.replace(checkpoint, strengths=PAPER), dataset.with_label_noise(1.0, seed=1)
    harmful = FitSettings(epochs=4, batch_size=24, lr=0.2, ema=0.0, seed=3)
    free = finetune(known, dataset, FinetuneSettings("at", fit=harmful), tmp_path / "free.safetensors", fabric=launch())
    assert caplog.text.count("finetuning lowers") == 1
    caplog.clear()
    settings = FinetuneSettings("at", max_clean_drop=10.0, fit=harmful)
    bound = finetune(known, dataset, settings, tmp_path / "bound.safetensors", fabric=launch())
    assert "finetuning lowers" not in caplog.text
    before = count_correct(known.classifier(), dataset.val, launch()) / len(dataset.val)
    assert free.metrics["val_accuracy"] < before - 0.1
    assert bound.metrics["val_accuracy"] >= before - 0.1
    assert 0 <= bound.settings["finetuned_share"] < 1
    assert bound.settings["max_clean_drop"] == 10.0
    assert count_correct(bound.classifier(), dataset.val, launch()) / len(dataset.val) == bound.metrics["val_accuracy"]
    accuracies = [
        bound.metrics["val_accuracy"],
        *(value for name, value in bound.metrics.items() if "accuracy" not in name),
    ]
    assert bound.metrics["average_accuracy"] == pytest.approx(sum(accuracies) / len(accuracies))
    assert "finetuned_share" not in free.settings
