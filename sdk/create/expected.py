"""How long the stages will take, by the time of a forward pass of the classifier on this machine."""

from __future__ import annotations

import time

import torch

from allweather.create.classifier_stages import Start
from allweather.create.config import CreateConfig
from allweather.create.settings import CreateSettings
from allweather.exporters.foreign.import_model import ForeignModel
from allweather.trainers.corruptions.catalogue import CORRUPTIONS
from allweather.trainers.corruptions.corruption import SEVERITIES
from allweather.trainers.inference.forward import logits
from allweather.trainers.methods.new_network import new_network

TRAIN, IMPORT, FINETUNE = "train the plain classifier", "import the classifier", "finetune it to be robust"
PREDICTOR, TUNE = "train the loss predictor", "tune the policy"
EXPORT_PLAIN, EXPORT, EVALUATE, WRITE = "export the plain classifier", "export", "evaluate", "write bundle and report"

# cost for an image in its forward passes in torch, measured with ResNet-20 on signs
TRAINING_STEP, FINETUNING_STEP, PREDICTOR_STEP, COMPILED = 3.2, 6.5, 0.5, 0.4
VIEWS = 12  # of a loss predictor, and about as many of the usual policies
AUGMENTED_SETS = 10  # that each epoch of finetuning is evaluated on
STRENGTH_PASSES = 60  # over the validation images, to find the augmentation strengths
EXPORT_SECONDS, WRITE_SECONDS, CORRUPTION_SECONDS = 12.0, 4.0, 0.0004
TIMED_IMAGES, TIMED_CALLS = 64, 5


def expected_seconds(start: Start, config: CreateConfig, settings: CreateSettings) -> dict[str, float]:
    """Returns the expected seconds of each stage by its name, in the order in which they run."""
    forward = _seconds_per_image(start)
    num_train, num_val = len(start.dataset.train), len(start.dataset.val)
    stages: dict[str, float] = {}
    if settings.fit:
        stages[TRAIN] = forward * settings.fit.epochs * (TRAINING_STEP * num_train + num_val)
    else:
        stages[IMPORT] = EXPORT_SECONDS
    if settings.finetune:
        each = FINETUNING_STEP * num_train + AUGMENTED_SETS * num_val
        stages[FINETUNE] = forward * (settings.finetune.fit.epochs * each + STRENGTH_PASSES * num_val)
    if settings.predictor:
        copies = settings.predictor.copy_settings.copies * num_train
        stages[PREDICTOR] = forward * copies * (VIEWS + PREDICTOR_STEP * settings.predictor.fit.epochs)
    stages[TUNE] = forward * VIEWS * settings.tuning.copies * num_val
    if settings.finetune:
        stages[EXPORT_PLAIN] = EXPORT_SECONDS
    if settings.fit:
        stages[EXPORT] = EXPORT_SECONDS
    images = min(config.evaluate.images, len(start.dataset.test)) * (1 + len(CORRUPTIONS) * len(SEVERITIES))
    stages[EVALUATE] = images * (2 * CORRUPTION_SECONDS + forward * COMPILED * (VIEWS + 1))
    return {**stages, WRITE: WRITE_SECONDS}


def _seconds_per_image(start: Start) -> float:
    """Measures a forward pass in a batch."""
    val = start.dataset.val
    images = val.take(torch.arange(min(TIMED_IMAGES, len(val)))).loaded().images
    if isinstance(start.network, ForeignModel):
        foreign = start.network

        def infer() -> object:
            return foreign.source.run(images.numpy())

    else:
        model = new_network(start.network, start.dataset, pretrained=False).model.eval()

        def infer() -> object:
            return logits(model, images)

    infer()
    seconds = []
    for _ in range(TIMED_CALLS):
        started = time.perf_counter()
        infer()
        seconds.append(time.perf_counter() - started)
    return min(seconds) / len(images)  # the others had to wait for other programs
