"""The perceiver: a frame goes in, a decision comes out."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np

from allweather.runtimes.bundle import Bundle
from allweather.runtimes.engine import Engine, open_engine
from allweather.runtimes.errors import UsageError
from allweather.runtimes.frame import Budget, Decision, Floats, Frame, Image, StageTimes
from allweather.runtimes.image import InputSpec
from allweather.runtimes.looking import look
from allweather.runtimes.manifest import Model
from allweather.runtimes.planner import plan
from allweather.runtimes.policy import Policy, parse_policy

CENTER = parse_policy("center")


@dataclass(frozen=True)
class Ranker:
    """A running loss predictor.

    Attributes:
        engine: float32 [V] for each picture.
        spec: what it takes.
    """

    engine: Engine
    spec: InputSpec


class Perceiver:
    """Decides what is in a frame. For one thread at a time; a context manager.

    Args:
        engine: runs the classifier; closed with the perceiver.
        classes: names, in the order of the logits.
        spec: how a picture is prepared.
        budget: time from capture to decision; a decision after it is marked as late.
        costs: expected seconds of running 1, 2, ... views; empty where nothing was measured.
        policy: which views are run.
        ranker: for a policy that ranks views; closed with the perceiver.
        clock: seconds, monotonic; the one that frames are stamped with.
        seed: of policies that draw.
    """

    def __init__(
        self,
        engine: Engine,
        classes: Sequence[str],
        spec: InputSpec,
        budget: Budget | None = None,
        costs: Sequence[float] = (),
        *,
        policy: Policy = CENTER,
        ranker: Ranker | None = None,
        clock: Callable[[], float] = time.monotonic,
        seed: int = 0,
    ) -> None:
        refuse_unrunnable(policy, ranker is not None)
        self.classes, self.spec, self.budget, self.policy = tuple(classes), spec, budget or Budget(), policy
        self._engine, self._costs, self._ranker, self._clock = engine, tuple(costs), ranker, clock
        self._rng = np.random.default_rng(seed)
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
        prepared = self.spec.prepare(frame.image)
        ready = clock()
        losses = self._ranked(prepared) if self.policy.ranks else None
        looks = plan(self.policy, losses, self._costs, self._rng)
        seen = look(self._engine.run, prepared, looks.views, looks.weights, self.policy.settled, clock)
        best = int(seen.vote.argmax())
        self._decided += 1
        done = clock()
        rest = done - seen.began - seen.making - seen.running
        return Decision(
            label=self.classes[best],
            confidence=float(seen.vote[best]),
            probabilities=seen.vote,
            index=frame.index,
            views=looks.views[: seen.used],
            predicted_losses=looks.predicted_losses[: seen.used],
            times=StageTimes(ready - began, seen.began - ready, seen.making, seen.running, rest),
            age=done - frame.captured,
            late=done > self.budget.deadline(frame),
            skipped=skipped,
        )

    def _ranked(self, prepared: Image) -> Floats:
        """The predicted loss of each view, float32 [1, V]."""
        assert self._ranker is not None
        return self._ranker.engine.run(self._ranker.spec.prepare(prepared)[None])

    def close(self) -> None:
        """Closes the engines."""
        self._engine.close()
        if self._ranker:
            self._ranker.engine.close()

    def __enter__(self) -> Perceiver:
        """The perceiver itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes the engines."""
        self.close()


def refuse_unrunnable(policy: Policy, ranks: bool) -> None:
    """Refuses a policy that no camera loop can follow.

    Args:
        policy: of the loop.
        ranks: whether there is a loss predictor.

    Raises:
        UsageError: saying what it needs.
    """
    if policy.pick == "oracle":
        raise UsageError(
            f"policy {policy.name} knows the true losses, so it is for evaluate alone; top:K predicts them"
        )
    if policy.ranks and not ranks:
        raise UsageError(
            f"policy {policy.name} needs a loss predictor, and there is none; train one with allweather predictor, and "
            "export it again"
        )


def load(
    path: Path | str,
    *,
    engine: str | None = None,
    precision: str | None = None,
    budget_ms: float | None = None,
    policy: str | None = None,
) -> Perceiver:
    """Opens a bundle on this device.

    Args:
        path: the bundle: a folder or a .zip.
        engine: "openvino", "onnx" or "fake"; None for the fastest that runs here.
        precision: "int8" or "fp32"; None for INT8 where the bundle has it.
        budget_ms: milliseconds from capture to decision, > 0; None for no deadline.
        policy: which views are run, such as "top:2"; None for the bundle's own, or one look where it has none.

    Raises:
        BundleError: the bundle is missing, damaged or hostile.
        EngineError: nothing here can run it.
        ParityError: this device answers differently than the bundle promises.
        UsageError: the budget is not above 0, or the bundle cannot follow the policy.
    """
    if budget_ms is not None and not budget_ms > 0:
        raise UsageError(f"a budget is above 0 milliseconds; got {budget_ms:g}")
    bundle = Bundle.open(path)
    tuned = bundle.manifest.policies
    chosen = parse_policy(policy, tuned) if policy is not None else (*tuned, CENTER)[0]
    refuse_unrunnable(chosen, bundle.manifest.predictor is not None)
    running, model = open_engine(bundle, engine, precision)
    ranker = None
    if chosen.ranks:
        try:
            ranker = Ranker(open_ranker(bundle, model, engine), bundle.taken_by("predictor"))
        except BaseException:
            running.close()
            raise
    budget = Budget() if budget_ms is None else Budget(budget_ms / 1000)
    costs = model.seconds if model else ()
    return Perceiver(running, bundle.classes, bundle.input, budget, costs, policy=chosen, ranker=ranker)


def open_ranker(bundle: Bundle, beside: Model | None, engine: str | None = None) -> Engine:
    """The bundle's loss predictor, on the engine that runs its classifier.

    Args:
        bundle: opened.
        beside: the classifier that runs; None for the fake engine.
        engine: that was asked for.

    Raises:
        EngineError: nothing here can run it.
        ParityError: this device answers differently than the bundle promises.
    """
    return open_engine(bundle, beside.engine if beside else engine, role="predictor")[0]
