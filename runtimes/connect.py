"""From a bundle and a server that runs it to a perceiver that keeps its budget over the network."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np

from allweather.runtimes.bundle.bundle import Bundle
from allweather.runtimes.bundle.manifest import Role
from allweather.runtimes.engines.registry import Engine
from allweather.runtimes.engines.remote import RemoteEngine
from allweather.runtimes.errors import EngineTimeoutError, ParityError
from allweather.runtimes.load import budget_of, policy_of
from allweather.runtimes.perceiver import LossPredictor, Perceiver
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.tta.latency_model import LatencyModel
from allweather.runtimes.tta.planner import sizes
from allweather.runtimes.tta.policy import Policy
from allweather.runtimes.types import Budget, Decision, Floats, Frame, Image
from allweather.runtimes.warm_up import measure_predictor_latency, measure_view_latency


def connect(
    path: Path | str, address: str, *, budget_ms: float | None = None, policy: str | None = None
) -> RemotePerceiver:
    """Opens a bundle whose networks run on a server, and measures what looks cost over the network.

    The server must answer the bundle's golden frames as one of its models does.

    Args:
        path: the bundle: a folder or a .zip.
        address: http://HOST:PORT of a server with a repository of this bundle.
        budget_ms: milliseconds from capture to decision, > 0; None for no deadline.
        policy: which views are run if there is time; None for the bundle's own, or one look where it has none.

    Raises:
        BundleError: the bundle is missing, damaged or hostile.
        EngineError: there is no such server, or it does not serve this.
        ParityError: it answers differently than the bundle promises.
        UsageError: the address or the budget is none, or the bundle cannot follow the policy.
    """
    budget, bundle = budget_of(budget_ms), Bundle.open(path)
    chosen, deadline = policy_of(bundle, policy), Deadline()
    with ExitStack() as undo:
        classifier = undo.enter_context(closing(_open(bundle, address, "classifier", deadline)))
        counts = (chosen.max_views,) if budget_ms is None else sizes(chosen.max_views)
        view_latency = measure_view_latency(classifier, bundle.input, chosen, (1,) if chosen.exits_early else counts)
        loss_predictor, predictor_latency = None, None
        if chosen.needs_predictor:
            needs_predictor, seen = (
                undo.enter_context(closing(_open(bundle, address, "predictor", deadline))),
                bundle.input_of("predictor"),
            )
            predictor_latency = measure_predictor_latency(LossPredictor(needs_predictor, seen))
            loss_predictor = LossPredictor(LatencyTrackingEngine(needs_predictor, predictor_latency), seen)
        perceiver = RemotePerceiver(
            LatencyTrackingEngine(classifier, view_latency),
            bundle.classes,
            bundle.input,
            budget,
            policy=chosen,
            loss_predictor=loss_predictor,
            view_latency=view_latency,
            predictor_latency=predictor_latency,
            deadline=deadline,
        )
        undo.pop_all()
        return perceiver


class Deadline:
    """The moment, in monotonic seconds, by which a server must have answered; infinity between frames."""

    def __init__(self) -> None:
        self.moment = math.inf

    def left(self) -> float:
        """Seconds to it."""
        return self.moment - time.monotonic()


class RemotePerceiver(Perceiver):
    """A perceiver that gives up on a frame in time: its engines wait for no answer past the deadline.

    See `Perceiver` for the arguments; `deadline` is what its engines look at.
    """

    def __init__(
        self,
        engine: Engine,
        classes: Sequence[str],
        spec: InputSpec,
        budget: Budget,
        *,
        policy: Policy,
        loss_predictor: LossPredictor | None,
        view_latency: LatencyModel,
        predictor_latency: LatencyModel | None,
        deadline: Deadline,
    ) -> None:
        super().__init__(
            engine,
            classes,
            spec,
            budget,
            policy=policy,
            loss_predictor=loss_predictor,
            view_latency=view_latency,
            predictor_latency=predictor_latency,
        )
        self._deadline = deadline

    def decide(self, frame: Frame, skipped: int = 0) -> Decision:
        """See `Perceiver.decide`.

        Raises:
            EngineTimeoutError: the server has not answered within the budget.
            EngineError: the server failed.
            UsageError: the image is not uint8 [H, W, 3].
        """
        with self.turn():
            self._deadline.moment = self.budget.deadline(frame) - self.budget.reserve
            try:
                return super().decide(frame, skipped)
            finally:
                self._deadline.moment = math.inf


class LatencyTrackingEngine:
    """An engine over the network whose silence is a cost, too: fewer looks are planned while it lasts.

    A decision that comes teaches the planner what it cost; one that does not come would teach nothing.

    Args:
        engine: on a server; closed with this.
        costs: of its calls.
    """

    def __init__(self, engine: RemoteEngine, costs: LatencyModel) -> None:
        self._engine, self._costs = engine, costs

    def infer(self, images: Image) -> Floats:
        """See `Engine.infer`."""
        began, count = time.monotonic(), len(images)
        try:
            return self._engine.infer(images)
        except EngineTimeoutError:
            # no less than was thought: it may have been asked with little time left
            self._costs.add(count, max(time.monotonic() - began, self._costs.seconds(count)))
            raise

    def close(self) -> None:
        """See `Engine.close`."""
        self._engine.close()


def _open(bundle: Bundle, address: str, role: Role, deadline: Deadline) -> RemoteEngine:
    """The network of a role, which must answer the golden frames as one of the bundle's models does."""
    spec = bundle.input_of(role)
    engine = RemoteEngine(address, role, spec, bundle.outputs(role), left=deadline.left)
    with ExitStack() as undo:
        undo.enter_context(closing(engine))
        got = np.concatenate([engine.infer(spec.prepare(frame)[None]) for frame in bundle.golden_frames()])
        models = [model for model in bundle.manifest.models if model.role == role]
        off = [float(np.abs(got.astype(np.float64) - bundle.golden_outputs(model)).max()) for model in models]
        if not any(difference <= model.tolerance for difference, model in zip(off, models, strict=True)):
            raise ParityError(
                f"{address} answers {bundle.path}'s golden frames for the {role} as none of its models does: off by "
                f"{min(off):.3g} at least; write its repository from this bundle, or ask another server"
            )
        undo.pop_all()
    return engine
