"""From a bundle to a perceiver that is warm."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, closing
from numbers import Real
from pathlib import Path

from allweather.runtimes.bundle.bundle import Bundle
from allweather.runtimes.bundle.manifest import Model
from allweather.runtimes.engines.registry import Engine, open_engine
from allweather.runtimes.engines.watchdog import USUAL_SECONDS, WatchdogEngine
from allweather.runtimes.errors import UsageError
from allweather.runtimes.perceiver import CENTER, LossPredictor, Perceiver, check_runnable
from allweather.runtimes.tta.planner import sizes
from allweather.runtimes.tta.policy import Policy, parse_policy
from allweather.runtimes.types import Budget
from allweather.runtimes.warm_up import measure_predictor_latency, measure_view_latency


def load(
    path: Path | str,
    *,
    engine: str | None = None,
    precision: str | None = None,
    budget_ms: float | None = None,
    policy: str | None = None,
    threads: int | None = None,
) -> Perceiver:
    """Opens a bundle on this device and warms it up: what looks cost here is measured, so that no frame has to wait.

    Args:
        path: the bundle: a folder or a .zip.
        engine: one of `engine.names()`, such as "openvino" or "tensorrt"; None for the fastest that runs here.
        precision: "fp32", "bf16", "fp16" or "int8"; None for the one that the bundle prefers: the fastest on the
            machine of the export.
        budget_ms: milliseconds from capture to decision, > 0; None for no deadline.
        policy: which views are run if there is time, such as "top:2"; None for the bundle's own, or one look where it
            has none.
        threads: of the processor, >= 1; None for all cores. Fewer than there are keep decisions steady beside other
            programs: a network that is split over all cores waits for the busiest one.

    Raises:
        BundleError: the bundle is missing, damaged or hostile.
        EngineError: nothing here can run it.
        ParityError: this device answers differently than the bundle promises.
        UsageError: the budget is not above 0, or the bundle cannot follow the policy.
    """
    budget = budget_of(budget_ms)
    if threads is not None and threads < 1:
        raise UsageError(f"threads are a number >= 1; got {threads}")
    bundle = Bundle.open(path)
    chosen = policy_of(bundle, policy)
    running, model = open_engine(bundle, engine, precision, threads=threads)
    with ExitStack() as undo:
        classifier = _guarded(running, lambda: open_engine(bundle, engine, precision, threads=threads)[0], model)
        undo.enter_context(closing(classifier))
        loss_predictor = None
        if chosen.needs_predictor:
            first = open_loss_predictor(bundle, model, engine, threads)
            guarded = _guarded(first, lambda: open_loss_predictor(bundle, model, engine, threads), model)
            loss_predictor = LossPredictor(undo.enter_context(closing(guarded)), bundle.input_of("predictor"))
        counts = (chosen.max_views,) if budget_ms is None else sizes(chosen.max_views)
        perceiver = Perceiver(
            classifier,
            bundle.classes,
            bundle.input,
            budget,
            policy=chosen,
            loss_predictor=loss_predictor,
            view_latency=measure_view_latency(classifier, bundle.input, chosen, (1,) if chosen.exits_early else counts),
            predictor_latency=measure_predictor_latency(loss_predictor) if loss_predictor else None,
        )
        undo.pop_all()
        return perceiver


def budget_of(milliseconds: float | None) -> Budget:
    """The budget of so many milliseconds from capture to decision; None for no deadline.

    Raises:
        UsageError: they are no number above 0.
    """
    if milliseconds is not None and not (isinstance(milliseconds, Real) and milliseconds > 0):
        raise UsageError(f"a budget is above 0 milliseconds; got {milliseconds!r}")
    return Budget() if milliseconds is None else Budget(milliseconds / 1000)


def policy_of(bundle: Bundle, name: str | None) -> Policy:
    """The policy of a name; None for the bundle's own, or one look where it has none.

    Raises:
        UsageError: there is no such policy, or the bundle cannot follow it.
    """
    tuned = bundle.manifest.policies
    chosen = parse_policy(name, tuned) if name is not None else (*tuned, CENTER)[0]
    check_runnable(chosen, bundle.manifest.predictor is not None)
    return chosen


def _guarded(engine: Engine, again: Callable[[], Engine], model: Model | None) -> WatchdogEngine:
    """An engine whose calls may take twenty times what one of `sizes` took on the day of the export, or two seconds."""
    usual = 20 * max(model.seconds, default=0.0) if model else 0.0
    return WatchdogEngine(engine, again, model.engine if model else "fake", usual=max(usual, USUAL_SECONDS))


def open_loss_predictor(
    bundle: Bundle, beside: Model | None, engine: str | None = None, threads: int | None = None
) -> Engine:
    """The bundle's loss predictor, on the engine that runs its classifier.

    Args:
        bundle: opened.
        beside: the classifier that runs; None for the fake engine.
        engine: that was asked for.
        threads: of the processor; None for all cores.

    Raises:
        EngineError: nothing here can run it.
        ParityError: this device answers differently than the bundle promises.
    """
    chosen = engine or (beside.engine if beside else None)
    return open_engine(bundle, chosen, role="predictor", threads=threads)[0]
