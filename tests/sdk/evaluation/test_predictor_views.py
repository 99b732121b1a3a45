"""Policies of a model whose loss predictor lists other views than the built-in twelve."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from allweather.evaluation.policies import policy_evaluation
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.tta.policy_names import parse_policy
from allweather.runtimes.tta.run_views import run_views, steps_without_deadline
from allweather.runtimes.types import Floats, Image
from allweather.trainers.data.dataset import Dataset, Split
from allweather.trainers.inference.open_model import EvaluatedModel

VIEWS = ("crop-center", "zoom1.2/hflip", "identity")
CLASSES = ("dark", "bright")


def logits(images: Image) -> Floats:
    """A classifier that compares the left half of an image with its right half."""
    left, right = (half.reshape(len(images), -1).mean(1) for half in (images[:, :, :4], images[:, :, 4:]))
    return np.stack([left - right, right - left], 1).astype(np.float32) / 16


def predict_losses(images: Image) -> Floats:
    """Prefers each view for a third of the images."""
    best = images.reshape(len(images), -1).sum(1, dtype=np.int64) % len(VIEWS)
    return np.asarray(best[:, None] != np.arange(len(VIEWS)), np.float32)


def test_policies_choose_among_the_views_of_the_predictor() -> None:
    rng = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (60, 8, 8, 3), generator=rng, dtype=torch.uint8)
    split = Split(images, torch.randint(0, 2, (60,), generator=rng))
    dataset = Dataset("noise", CLASSES, split, split, split, hflip=False)
    model = EvaluatedModel(
        Path("halves"), "numpy", CLASSES, InputSpec(8, 8), logits, "0", predict_losses=predict_losses,
        predictor_views=VIEWS,
    )  # fmt: skip
    policies = [parse_policy(text, predictor_views=VIEWS) for text in ("top:1", "oracle:1", "all")]
    center, oracle, top, every = policy_evaluation(model, dataset, None, policies)[0].results
    assert [each.policy for each in (center, oracle, top, every)] == ["center", "oracle:1", "top:1", "all"]
    assert oracle.views == top.views == VIEWS
    assert top.view_shares["clean"] == tuple(np.bincount(predict_losses(images.numpy()).argmin(1)) / 60)

    def is_correct(image: Image, label: int, name: str) -> bool:
        policy = parse_policy(f"set:{name}")
        steps = steps_without_deadline(1, policy)
        result = run_views(logits, image, (name,), (1.0,), policy, steps, lambda: 0.0)
        return int(result.probabilities.argmax()) == label

    correct = [
        any(is_correct(image, label, name) for name in VIEWS)
        for image, label in zip(images.numpy(), split.labels.tolist(), strict=True)
    ]
    assert oracle.clean.value == pytest.approx(1 - sum(correct) / 60)
