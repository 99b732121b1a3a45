"""What an architecture is: how a network is built, its usual input, and where its pretrained weights come from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from allweather.runtimes.preprocess import InputSpec


@dataclass(frozen=True)
class Architecture:
    """How an architecture is built and trained.

    Attributes:
        build: Builds the network, with random weights, from the number of classes and its input.
        lr: Highest learning rate of the default training config (SGD, momentum 0.9, batch size 128).
        usual_input: Usual size of its input, and the normalization that its pretrained weights were trained with.
        pretrained: Returns the state dict of pretrained weights for a number of classes and an input; None if there are
            none. What depends on the number of classes may be random.
    """

    build: Callable[[int, InputSpec], nn.Module]
    lr: float
    usual_input: InputSpec
    pretrained: Callable[[int, InputSpec], Mapping[str, Tensor]] | None = None
