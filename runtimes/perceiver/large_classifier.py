"""An open large classifier, the second one of a cascade."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from allweather.runtimes.engines.base import Engine
from allweather.runtimes.perceiver.checked_engine import CheckedEngine
from allweather.runtimes.tta.latency_model import LatencyModel


@dataclass(frozen=True)
class LargeClassifier:
    """A second classifier of the same classes and input, which is slower than the first one and errs less.

    Attributes:
        engine: Runs the network. It gives float32 [n, C]: logits, in the order of the classes.
        latency: Latency model of one view, or of more for several objects of a frame; each call adapts it.
    """

    engine: Engine
    latency: LatencyModel = field(default_factory=LatencyModel)

    def checked(self, classes: Sequence[str]) -> LargeClassifier:
        """Returns the same with an engine whose outputs are checked to be one for each class."""
        return replace(self, engine=CheckedEngine(self.engine, len(classes)))
