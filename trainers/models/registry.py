"""Classifiers by name: built-in architectures, timm:NAME and torchvision:NAME, with or without pretrained weights."""

from __future__ import annotations

import logging

from allweather.runtimes.errors import UsageError, unknown_name
from allweather.runtimes.preprocess import InputSpec
from allweather.trainers.models.architecture import Architecture
from allweather.trainers.models.architectures import ARCHITECTURES
from allweather.trainers.models.classifier import Classifier
from allweather.trainers.models.libraries import LIBRARIES, LR, library_architecture
from allweather.trainers.models.own_model import OWN

MAX_LISTED = 4  # weights that a message names
log = logging.getLogger(__name__)


def get_architecture(name: str) -> Architecture:
    """Returns the architecture of a name of `ARCHITECTURES`, or of timm:NAME or torchvision:NAME.

    Raises:
        UsageError: There is no architecture of that name.
        DependencyError: timm is not installed.
    """
    if name.partition(":")[0] in LIBRARIES and ":" in name:
        return library_architecture(name)
    if name not in ARCHITECTURES:
        raise unknown_name("architecture", name, (*ARCHITECTURES, *(f"{library}:NAME" for library in LIBRARIES)))
    return ARCHITECTURES[name]


def default_lr(name: str) -> float:
    """Returns the highest learning rate of SGD for an architecture, also for a network of the user's own."""
    return LR if name.startswith(OWN) else get_architecture(name).lr


def build_model(arch: str, classes: int, spec: InputSpec) -> Classifier:
    """Builds a classifier with random weights, drawn from torch's global generator.

    Args:
        arch: As in `get_architecture`.
        classes: Number of outputs, at least 2.
        spec: Input of the classifier. Its size selects the stem; its mean and std go into the first layer.

    Raises:
        UsageError: There is no architecture of that name, it cannot be built for that size, or there are fewer than two
            classes.
    """
    if classes < 2:
        raise UsageError(f"a classifier needs at least two classes; got {classes}")
    return Classifier(get_architecture(arch).build(classes, spec), spec)


def load_pretrained(model: Classifier, arch: str, classes: int, spec: InputSpec) -> None:
    """Copies pretrained weights into a model, except for layers of another shape (stem, head).

    They are downloaded by the library that has them at the first call, and kept in its cache.

    Args:
        model: The classifier to change, of architecture `arch`.
        arch: As in `get_architecture`.
        classes: Number of outputs of the model.
        spec: Input of the model.

    Raises:
        UsageError: There are no pretrained weights for this architecture.
        DataError: The weights cannot be downloaded.
    """
    pretrained = get_architecture(arch).pretrained
    if pretrained is None:
        having = ", ".join(key for key, value in ARCHITECTURES.items() if value.pretrained)
        raise UsageError(f"there are no pretrained weights for {arch}; they exist for {having}, timm: and torchvision:")
    state, own = pretrained(classes, spec), model.network.state_dict()
    fitting = {key: value for key, value in state.items() if key in own and own[key].shape == value.shape}
    if random := [key for key in own if key not in fitting]:
        more = f" and {len(random) - MAX_LISTED} more" if len(random) > MAX_LISTED else ""
        log.info(
            "of %s, %s%s have no pretrained weights and start at random", arch, ", ".join(random[:MAX_LISTED]), more
        )
    model.network.load_state_dict(fitting, strict=False)
