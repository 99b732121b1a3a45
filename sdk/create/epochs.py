"""How long the classifier is trained where the configuration does not say: a few epochs, and enough steps."""

from __future__ import annotations

import math
from collections.abc import Iterator

from allweather.create.config import CreateConfig, Finetune, Train

EPOCHS, STEPS = {"train": 6, "finetune": 4}, {"train": 300, "finetune": 100}  # at least


def with_epochs(config: CreateConfig, num_train: int | None = None) -> tuple[CreateConfig, list[str]]:
    """Returns a configuration in which all epochs are numbers, and a sentence for each of them that few images raise.

    Args:
        config: The configuration.
        num_train: Number of training images; None before the data is opened, for as many epochs as with many images.
    """
    changed, notes = {}, []
    for name, section in _sections(config):
        if section.epochs is None:
            steps = STEPS[name] if num_train is None else max(1, num_train // section.batch_size)  # of an epoch
            epochs = max(EPOCHS[name], math.ceil(STEPS[name] / steps))
            changed[name] = section.model_copy(update={"epochs": epochs})
            if epochs > EPOCHS[name] and config.onnx is None:  # a classifier that is imported is not trained
                notes.append(
                    f"{name}.epochs is {epochs} instead of {EPOCHS[name]}: an epoch of {num_train} images is {steps} "
                    f"step{'s' * (steps > 1)}, and a network learns little in fewer than {STEPS[name]}"
                )
    return config.model_copy(update=changed), notes


def _sections(config: CreateConfig) -> Iterator[tuple[str, Train | Finetune]]:
    yield "train", config.train
    if isinstance(config.finetune, Finetune):
        yield "finetune", config.finetune
