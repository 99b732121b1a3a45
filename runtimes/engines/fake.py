"""An engine without a model, for tests: deterministic, and either instant or as slow as a test needs."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from allweather.runtimes.engines.base import CompiledModel, Engine
from allweather.runtimes.types import Floats, Image


def probe(device: str) -> str:
    """Returns a version; this engine can always run."""
    return "1"


def start(model: CompiledModel, device: str) -> Engine:
    """Returns a fake engine with as many outputs as the model."""
    return FakeEngine(model.outputs)


class FakeEngine:
    """Classifies an image by its mean brightness: black is class 0, white the last class.

    Args:
        classes: Number of logits.
        seconds: Time that a call takes for each image.
        sleep: How that time is spent; a test passes the function of its fake clock.
    """

    def __init__(self, classes: int, seconds: float = 0.0, sleep: Callable[[float], None] = time.sleep) -> None:
        self._classes, self._seconds, self._sleep = classes, seconds, sleep

    def infer(self, images: Image) -> Floats:
        """See `Engine.infer`."""
        if self._seconds:
            self._sleep(self._seconds * len(images))
        brightness = images.reshape(len(images), -1).mean(axis=1) / 256
        predicted = (brightness * self._classes).astype(int)
        return np.asarray(4.0 * np.eye(self._classes)[predicted], np.float32)

    def close(self) -> None:
        """See `Engine.close`; there is nothing to free."""
