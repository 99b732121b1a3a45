"""Makes a perceiver whose models run on a server. The budget of a frame includes the time on the network."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import numpy as np

from allweather.runtimes.bundle.bundle import Bundle
from allweather.runtimes.bundle.manifest import Role
from allweather.runtimes.engines.base import Engine
from allweather.runtimes.engines.remote import RemoteEngine
from allweather.runtimes.errors import EngineTimeoutError, ParityError, UsageError
from allweather.runtimes.load import budget_from_ms, resolve_policy
from allweather.runtimes.perceiver import LargeClassifier, LossPredictor, Perceiver
from allweather.runtimes.perceiver.frame_time import with_usable_time
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.region import Region
from allweather.runtimes.tta.latency_model import LatencyModel
from allweather.runtimes.tta.planner import batch_sizes
from allweather.runtimes.tta.policy import Policy
from allweather.runtimes.types import Budget, Decision, Floats, Frame, Image
from allweather.runtimes.warm_up import measure_predictor_latency, measure_view_latency, measured_large_classifier


def connect(
    path: Path | str, address: str, *, budget_ms: float | None = None, policy: str | Policy | None = None
) -> RemotePerceiver:
    """Opens a bundle whose models run on a server, and measures how long views take over the network.

    On the golden frames, the server must give the golden outputs of one of the bundle's models.

    Args:
        path: The bundle: a folder or a .zip file.
        address: http://HOST:PORT of a server with a model repository of this bundle.
        budget_ms: Milliseconds from capture to decision, above 0; None for no deadline.
        policy: Which views are run if there is time, such as "top:2", or a `Policy`. None for the bundle's own policy,
            or a single view if it has none.

    Raises:
        BundleError: The bundle is missing, damaged or hostile.
        EngineError: There is no server at the address, or it does not serve these models.
        ParityError: The outputs of the server are not the golden outputs of any of the bundle's models.
        UsageError: The address is malformed, the budget is not above 0, or the bundle cannot follow the policy.
    """
    if not isinstance(address, str):
        raise UsageError(f"a server's address is a text, http://HOST:PORT; got {type(address).__name__}")
    budget, bundle = budget_from_ms(budget_ms), Bundle.open(path)
    chosen, deadline = resolve_policy(bundle, policy), Deadline()
    with ExitStack() as undo:
        classifier = undo.enter_context(closing(_open_remote(bundle, address, "classifier", deadline)))
        counts = (chosen.max_views,) if budget_ms is None else batch_sizes(chosen.max_views)
        view_latency = measure_view_latency(classifier, bundle.input, chosen, (1,) if chosen.exits_early else counts)
        loss_predictor, predictor_latency = None, None
        if chosen.needs_predictor:
            predictor = undo.enter_context(closing(_open_remote(bundle, address, "predictor", deadline)))
            spec = bundle.input_of("predictor")
            predictor_latency = measure_predictor_latency(LossPredictor(predictor, spec))
            loss_predictor = LossPredictor(LatencyTrackingEngine(predictor, predictor_latency), spec)
        large = None
        if chosen.large:
            engine = undo.enter_context(closing(_open_remote(bundle, address, "large", deadline)))
            latency = measured_large_classifier(engine, bundle.input).latency
            large = LargeClassifier(LatencyTrackingEngine(engine, latency), latency)
        perceiver = RemotePerceiver(
            LatencyTrackingEngine(classifier, view_latency),
            bundle.classes,
            bundle.input,
            budget,
            policy=chosen,
            loss_predictor=loss_predictor,
            large=large,
            view_latency=view_latency,
            predictor_latency=predictor_latency,
            deadline=deadline,
        )
        undo.pop_all()
        return perceiver


class Deadline:
    """The time by which a server must have responded.

    Attributes:
        moment: The deadline in seconds of the monotonic clock; infinity between frames.
    """

    def __init__(self) -> None:
        self.moment = math.inf

    def seconds_left(self) -> float:
        """Returns the seconds until the deadline; negative after it."""
        return self.moment - time.monotonic()


class RemotePerceiver(Perceiver):
    """A perceiver that gives up on a frame in time: its engines do not wait for a response past the deadline.

    See `Perceiver` for the other arguments.

    Args:
        deadline: The deadline that the engines observe; set for each frame.
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
        large: LargeClassifier | None,
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
            large=large,
            view_latency=view_latency,
            predictor_latency=predictor_latency,
        )
        self._deadline = deadline

    def decide(self, frame: Frame, skipped: int = 0, *, views_before: int = 0) -> Decision:
        """See `Perceiver.decide`.

        Raises:
            EngineTimeoutError: The server did not respond within the budget.
            EngineError: The server failed.
            UsageError: The image is not uint8 [H, W, 3].
        """
        with self._within_budget(with_usable_time(frame, self._clock())):
            return super().decide(frame, skipped, views_before=views_before)

    def decide_regions(
        self, frame: Frame, regions: Sequence[Region], skipped: int = 0, *, views_before: Sequence[int] = ()
    ) -> list[Decision]:
        """See `Perceiver.decide_regions`.

        Raises:
            EngineTimeoutError: The server did not respond within the budget.
            EngineError: The server failed.
            UsageError: The image is not uint8 [H, W, 3], or a region does not lie inside of it.
        """
        with self._within_budget(with_usable_time(frame, self._clock())):
            return super().decide_regions(frame, regions, skipped, views_before=views_before)

    @contextmanager
    def _within_budget(self, frame: Frame) -> Iterator[None]:
        """Limits the calls of the server in a `with` block to the deadline of a frame."""
        with self.lock():
            self._deadline.moment = self.budget.deadline(frame) - self.budget.reserve
            try:
                yield
            finally:
                self._deadline.moment = math.inf


class LatencyTrackingEngine:
    """An engine on a server. A call that gets no response in time is added to a latency model.

    Only a decision adapts the planner's latency models, and a call that times out makes none, so that the planner would
    not learn from it. This class makes the planner choose fewer views for as long as the server does not respond.

    Args:
        engine: The engine on a server; closed with this one.
        latency: Latency model of its calls.
    """

    def __init__(self, engine: RemoteEngine, latency: LatencyModel) -> None:
        self._engine, self._latency = engine, latency

    def infer(self, images: Image) -> Floats:
        """See `Engine.infer`."""
        started, count = time.monotonic(), len(images)
        try:
            return self._engine.infer(images)
        except EngineTimeoutError:
            # at least the predicted time, as the call may have been made with little time left
            self._latency.add(count, max(time.monotonic() - started, self._latency.seconds(count)))
            raise

    def close(self) -> None:
        """See `Engine.close`."""
        self._engine.close()


def _open_remote(bundle: Bundle, address: str, role: Role, deadline: Deadline) -> RemoteEngine:
    """Opens the server's model of a role, and checks its outputs on the golden frames."""
    spec = bundle.input_of(role)
    engine = RemoteEngine(address, role, spec, bundle.outputs(role), seconds_left=deadline.seconds_left)
    with ExitStack() as undo:
        undo.enter_context(closing(engine))
        outputs = np.concatenate([engine.infer(spec.prepare(frame)[None]) for frame in bundle.golden_frames()])
        models = [model for model in bundle.manifest.models if model.role == role]
        differences = [
            float(np.abs(outputs.astype(np.float64) - bundle.golden_outputs(model)).max()) for model in models
        ]
        if not any(difference <= model.tolerance for difference, model in zip(differences, models, strict=True)):
            raise ParityError(
                f"the outputs of {address} for the {role} on {bundle.path}'s golden frames are not those of any of its "
                f"models: they differ by at least {min(differences):.3g}; export the server's model repository from "
                "this bundle, or use another server"
            )
        undo.pop_all()
    return engine
