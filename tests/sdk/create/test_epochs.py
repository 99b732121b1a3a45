"""How long a classifier is trained where the configuration does not say."""

from __future__ import annotations

import pytest
import torch

from allweather.create.classifier_stages import _chance_notes
from allweather.create.config import CreateConfig, Finetune, Onnx, Train
from allweather.create.epochs import with_epochs
from allweather.runtimes.preprocess import InputSpec
from allweather.trainers.checkpoint.checkpoint import Checkpoint
from allweather.trainers.data.dataset import Dataset, Split


@pytest.mark.parametrize(
    ("images", "epochs"), [(10**6, (6, 4)), (3_200, (6, 4)), (3_199, (7, 4)), (192, (100, 34)), (1, (300, 100))]
)
def test_few_images_are_seen_more_often(images: int, epochs: tuple[int, int]) -> None:
    config, notes = with_epochs(CreateConfig(), images)
    assert isinstance(config.finetune, Finetune)
    assert (config.train.epochs, config.finetune.epochs) == epochs
    assert len(notes) == (epochs[0] > 6) + (epochs[1] > 4)
    assert with_epochs(config, 1) == (config, []), "what is a number stays"


def test_what_is_asked_for_is_kept() -> None:
    asked = CreateConfig(train=Train(epochs=2), finetune=Finetune(epochs=3))
    assert with_epochs(asked, 10) == (asked, [])
    assert with_epochs(CreateConfig(onnx=Onnx(file="their.onnx")), 10)[1] == []


@pytest.mark.parametrize(("images", "accuracy", "said"), [(24, 0.45, True), (24, 0.8, False), (2_400, 0.45, False)])
def test_a_classifier_that_may_be_no_better_than_chance_is_told(images: int, accuracy: float, said: bool) -> None:
    split = Split(torch.zeros(images, 8, 8, 3, dtype=torch.uint8), torch.arange(images) % 3)
    data = Dataset("colors", ("a", "b", "c"), split, split, split, hflip=False)
    metrics = {"val_accuracy": accuracy}
    checkpoint = Checkpoint("resnet20", data.classes, InputSpec(8, 8), {}, "colors", 0, metrics=metrics)
    notes = list(_chance_notes(checkpoint, data))
    assert bool(notes) == said
    if notes:
        assert "45.0 % of 24 validation images, and 33.3 % are of one class" in notes[0]
        assert "rare" not in notes[0]


def test_a_classifier_that_names_the_frequent_class_alone_is_told_what_to_do() -> None:
    split = Split(torch.zeros(36, 8, 8, 3, dtype=torch.uint8), (torch.arange(36) < 3).long())
    data = Dataset("parts", ("good", "broken"), split, split, split, hflip=False)
    named = Checkpoint("resnet20", data.classes, InputSpec(8, 8), {}, "parts", 0, metrics={"val_accuracy": 33 / 36})
    (note,) = _chance_notes(named, data)
    assert note.endswith("or take more images, and let rare classes count (train.class_weights: balanced)")
