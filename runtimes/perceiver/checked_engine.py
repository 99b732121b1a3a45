"""Checks what an engine gives before a decision is made of it: an array of another shape would be a wrong decision."""

from __future__ import annotations

import numpy as np

from allweather.runtimes.engines.base import Engine
from allweather.runtimes.errors import EngineError
from allweather.runtimes.types import Floats, Image


class CheckedEngine:
    """An engine that gives float32 [n, outputs] or raises an error.

    Args:
        engine: The engine; closed with this one.
        outputs: Number of outputs for each image.
    """

    def __init__(self, engine: Engine, outputs: int) -> None:
        self._engine, self._outputs = engine, outputs

    def infer(self, images: Image) -> Floats:
        """See `Engine.infer`.

        Raises:
            EngineError: It gives something else, too.
        """
        given = self._engine.infer(images)
        try:
            outputs = np.asarray(given, np.float32)
        except (TypeError, ValueError) as error:
            raise EngineError(self._fault(len(images), type(given).__name__)) from error
        if outputs.shape != (len(images), self._outputs):
            raise EngineError(self._fault(len(images), str(list(outputs.shape))))
        return outputs

    def close(self) -> None:
        """See `Engine.close`."""
        self._engine.close()

    def _fault(self, images: int, came: str) -> str:
        return (
            f"the engine gives {came} for {images} image{'s' * (images > 1)} and {self._outputs} classes; wanted are "
            f"logits, float32 [{images}, {self._outputs}]"
        )
