"""A wrapper around a network predicts what an evaluation of its checkpoint finds, on clean and corrupted images."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from allweather.evaluation.policy_outcomes import run_policies
from allweather.runtimes.tta.policy_names import parse_policy
from allweather.trainers.checkpoint import load_checkpoint, load_predictor
from allweather.trainers.corruptions.sets import GeneratedSet
from allweather.trainers.data.dataset import Dataset, Split
from allweather.trainers.data.signs import render_signs
from allweather.trainers.inference.forward import logits
from allweather.trainers.inference.open_model import open_model
from allweather.trainers.tta import TTAWrapper

CHECKPOINTS = Path(__file__).parents[3] / "samples" / "checkpoints"
POLICIES = tuple(map(parse_policy, ("hflip", "set:identity,zoom1.2", "top:2", "top:2+flip@0.9")))


@pytest.mark.slow
def test_every_prediction_is_that_of_the_evaluation() -> None:
    path = CHECKPOINTS / "resnet20-fma-ca-0.safetensors"
    network = load_checkpoint(path).classifier().eval()
    predictor = load_predictor(CHECKPOINTS / "predictor-published-resnet20.safetensors")
    ranking = predictor.model()
    images = torch.from_numpy(render_signs("test", count=16)[0])
    with open_model(path) as opened:
        evaluated = dataclasses.replace(
            opened,
            predict_losses=lambda batch: np.asarray(logits(ranking, torch.from_numpy(batch)).numpy(), np.float32),
        )
        for policy in POLICIES:
            wrapped = TTAWrapper(network, policy, predictor=predictor)
            foggy = GeneratedSet(Split(images, torch.zeros(16, dtype=torch.int64)), 0, ("fog",)).batches("fog", 3, 16)
            for batch in (images, torch.from_numpy(next(iter(foggy)))):
                with torch.no_grad():  # what the wrapper predicts is made the truth, so that all must be correct
                    truth = Split(batch, wrapped(batch.permute(0, 3, 1, 2)).argmax(1))
                dataset = Dataset("signs", evaluated.classes, truth, truth, truth, hflip=False)
                (clean,) = run_policies(evaluated, dataset, None, [policy])
                assert clean.correct.all(), policy.name
