"""The networks that a training starts from: built by name, or the user's own."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from torch import nn

from allweather.runtimes.errors import UsageError
from allweather.runtimes.preprocess import InputSpec
from allweather.trainers.checkpoint.checkpoint import Checkpoint
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.models.classifier import Classifier
from allweather.trainers.models.own_model import check_network
from allweather.trainers.models.registry import build_model, default_lr, get_architecture, load_pretrained


@dataclass(frozen=True)
class NewNetwork:
    """A network before its training.

    Attributes:
        arch: Its name, as a checkpoint has it.
        model: The classifier, which is trained.
        input: Input of the network.
        sgd_lr: Highest learning rate of SGD at a batch size of 128.
        classes: Class names in the order of its outputs, of a network that had some before; else empty.
        module: The user's own network, which is not changed; None where `arch` says how it is built.
    """

    arch: str
    model: Classifier
    input: InputSpec
    sgd_lr: float
    classes: tuple[str, ...] = ()
    module: nn.Module | None = None


def new_network(source: str | nn.Module | Checkpoint, dataset: Dataset, pretrained: bool) -> NewNetwork:
    """Builds a network for a data set.

    Args:
        source: Name of an architecture; or a network of the user's own, with the weights to start from. A checkpoint
            says besides how its images are normalized; a module gets ImageNet's mean and std.
        dataset: Its classes and image size are those of the network.
        pretrained: Whether a network that is built by name starts from pretrained weights.

    Raises:
        UsageError: There is no such architecture, or the network is no classifier of these classes and this size.
        DataError: Pretrained weights cannot be downloaded.
    """
    if not isinstance(source, str):
        return _own_network(source, dataset, pretrained)
    usual, classes = get_architecture(source).usual_input, len(dataset.classes)
    spec = dataclasses.replace(dataset.input, mean=usual.mean, std=usual.std)
    model = build_model(source, classes, spec)
    if ":" in source:
        check_network(model, classes, (spec.height, spec.width), source)
    if pretrained:
        load_pretrained(model, source, classes, spec)
    return NewNetwork(source, model, spec, default_lr(source))


def _own_network(source: nn.Module | Checkpoint, dataset: Dataset, pretrained: bool) -> NewNetwork:
    if pretrained:
        raise UsageError("a network of your own starts from the weights that it has; leave out pretrained")
    start, size = source, (dataset.input.height, dataset.input.width)
    if isinstance(start, nn.Module):
        start = Checkpoint.of(start, dataset.classes, dataset.input)
    if not isinstance(start, Checkpoint):
        raise UsageError(
            f"a network is the name of an architecture, an nn.Module or a Checkpoint; got {type(start).__name__}"
        )
    if (start.input.height, start.input.width) != size:
        raise UsageError(
            f"the network takes images of {start.input.height} x {start.input.width} px, and {dataset.name} has "
            f"{size[0]} x {size[1]}; open the data at the size of the network"
        )
    return NewNetwork(start.arch, start.classifier(), start.input, default_lr(start.arch), start.classes, start.module)
