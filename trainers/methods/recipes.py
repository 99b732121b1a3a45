"""Recipes: the settings of the training loop with which a paper's networks were trained, by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from allweather.runtimes.errors import check_choice
from allweather.trainers.choices import RecipeName
from allweather.trainers.training.settings import FitSettings

# Section 4.1 of Chen et al. (ICCVW 2019), for plain training as for AIT. What differs: biases and norms have no weight
# decay here, and the paper reports the network of the last epoch, as this one does without averaged weights.
AIT_PAPER = FitSettings(
    epochs=160, batch_size=128, lr=0.1, optimizer="sgd", schedule="step", milestones=(0.5, 0.75), nesterov=False,
    weight_decay=1e-4, ema=0.0, padding="zeros",
)  # fmt: skip
RECIPES: Mapping[RecipeName, FitSettings] = MappingProxyType({"ait-paper": AIT_PAPER})


def recipe(name: RecipeName) -> FitSettings:
    """Returns the settings of a recipe, which `dataclasses.replace` changes.

    Args:
        name: "ait-paper": 160 epochs in batches of 128 by plain SGD with momentum, with a learning rate of 0.1 that is
            divided by ten after 80 and 120 epochs, and a weight decay of 0.0001 (Chen et al., ICCVW 2019, section 4.1).

    Raises:
        UsageError: There is no such recipe.
    """
    check_choice("recipe", name, RecipeName)
    return RECIPES[name]
