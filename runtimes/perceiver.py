"""The perceiver: a frame goes in, a decision comes out."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

import numpy as np

from allweather.runtimes.bundle import Bundle
from allweather.runtimes.engine import Engine, open_engine
from allweather.runtimes.errors import UsageError
from allweather.runtimes.frame import Budget, Decision, Frame, Image, StageTimes
from allweather.runtimes.image import InputSpec
from allweather.runtimes.planner import plan_identity
from allweather.runtimes.views import VIEWS
from allweather.runtimes.vote import mean_probability


class Perceiver:
    """Decides what is in a frame. For one thread at a time; a context manager.

    Args:
        engine: runs the network; closed with the perceiver.
        classes: names, in the order of the logits.
        spec: how a picture is prepared.
        budget: time from capture to decision; a decision after it is marked as late.
        costs: expected seconds of running 1, 2, ... views; empty where nothing was measured.
        clock: seconds, monotonic; the one that frames are stamped with.
    """

    def __init__(
        self,
        engine: Engine,
        classes: Sequence[str],
        spec: InputSpec,
        budget: Budget | None = None,
        costs: Sequence[float] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.classes, self.spec, self.budget = tuple(classes), spec, budget or Budget()
        self._engine, self._costs, self._clock = engine, tuple(costs), clock
        self._decided = 0

    def __call__(self, image: Image) -> Decision:
        """Decides on a picture that was taken just now.

        Args:
            image: uint8 [H, W, 3], RGB.

        Raises:
            UsageError: `image` is no such picture.
            EngineError: the engine failed.
        """
        return self.decide(Frame(image, self._decided, self._clock()))

    def decide(self, frame: Frame, skipped: int = 0) -> Decision:
        """Decides on a frame of a camera.

        Args:
            frame: with the time of its capture.
            skipped: frames passed over since the last one; goes into the decision.

        Raises:
            UsageError: the image is not uint8 [H, W, 3].
            EngineError: the engine failed.
        """
        clock = self._clock
        began = clock()
        plan = plan_identity(self._costs)
        prepared = self.spec.prepare(frame.image)
        if plan.views == ("identity",):
            batch = prepared[None]
        else:
            batch = np.stack([VIEWS[name].apply(prepared) for name in plan.views])
        ready = clock()
        logits = self._engine.classify(batch)
        answered = clock()
        probabilities = mean_probability(logits)
        best = int(probabilities.argmax())
        self._decided += 1
        done = clock()
        return Decision(
            label=self.classes[best],
            confidence=float(probabilities[best]),
            probabilities=probabilities,
            index=frame.index,
            views=plan.views,
            predicted_losses=plan.predicted_losses,
            times=StageTimes(ready - began, answered - ready, done - answered),
            age=done - frame.captured,
            late=done > self.budget.deadline(frame),
            skipped=skipped,
        )

    def close(self) -> None:
        """Closes the engine."""
        self._engine.close()

    def __enter__(self) -> Perceiver:
        """The perceiver itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes the engine."""
        self.close()


def load(
    path: Path | str,
    *,
    engine: str | None = None,
    precision: str | None = None,
    budget_ms: float | None = None,
) -> Perceiver:
    """Opens a bundle on this device.

    Args:
        path: the bundle: a folder or a .zip.
        engine: "openvino", "onnx" or "fake"; None for the fastest that runs here.
        precision: "int8" or "fp32"; None for INT8 where the bundle has it.
        budget_ms: milliseconds from capture to decision, > 0; None for no deadline.

    Raises:
        BundleError: the bundle is missing, damaged or hostile.
        EngineError: nothing here can run it.
        ParityError: this device answers differently than the bundle promises.
        UsageError: the budget is not above 0.
    """
    if budget_ms is not None and not budget_ms > 0:
        raise UsageError(f"a budget is above 0 milliseconds; got {budget_ms:g}")
    bundle = Bundle.open(path)
    running, model = open_engine(bundle, engine, precision)
    budget = Budget() if budget_ms is None else Budget(budget_ms / 1000)
    return Perceiver(running, bundle.classes, bundle.input, budget, model.seconds if model else ())
