"""Makes a perceiver of a bundle: opens its engines on this device and warms them up."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np

from allweather.runtimes.bundle.bundle import Bundle, ReplacedError
from allweather.runtimes.bundle.manifest import Model, Precision
from allweather.runtimes.choices import MAX_THREADS
from allweather.runtimes.engines.base import Engine
from allweather.runtimes.engines.open import open_engine
from allweather.runtimes.engines.registry import engine_spec
from allweather.runtimes.engines.watchdog import CALL_SECONDS, FIRST_CALL_SECONDS, STALL_FACTOR, WatchdogEngine
from allweather.runtimes.errors import UsageError, check_choice
from allweather.runtimes.perceiver import CENTER, LossPredictor, Perceiver, check_runnable
from allweather.runtimes.setting_types import is_real
from allweather.runtimes.tta.planner import BATCH_SIZES, batch_sizes
from allweather.runtimes.tta.policy import Policy
from allweather.runtimes.tta.policy_names import parse_policy
from allweather.runtimes.tta.predictor_views import check_ranked_views
from allweather.runtimes.tta.views import VIEWS
from allweather.runtimes.types import Budget
from allweather.runtimes.warm_up import measure_predictor_latency, measure_view_latency, measured_large_classifier


def load(
    path: Path | str,
    *,
    engine: str | None = None,
    precision: str | None = None,
    budget_ms: float | None = None,
    policy: str | Policy | None = None,
    threads: int | None = None,
    max_boxes: int = 1,
) -> Perceiver:
    """Opens a bundle on this device and measures how long its views take here, so that no frame has to wait for that.

    Args:
        path: The bundle: a folder or a .zip file.
        engine: Name of the engine, such as "openvino" or "tensorrt"; None for the fastest that runs here.
        precision: "fp32", "bf16", "fp16" or "int8"; None for the one that the bundle prefers, which is the fastest on
            the machine of the export.
        budget_ms: Milliseconds from capture to decision, above 0; None for no deadline.
        policy: Which views are run if there is time, such as "top:2", or a `Policy`. None for the bundle's own policy,
            or a single view if it has none.
        threads: Number of CPU threads, at least 1; None for all cores. Fewer threads than cores keep decisions steady
            beside other programs: a model that is split over all cores waits for the busiest one.
        max_boxes: Largest number of boxes of a frame that `Perceiver.objects` will decide on, at least 1. Batches of
            their views are measured now.

    Raises:
        BundleError: The bundle is missing, damaged or hostile, or its loss predictor is for a view that this version
            of allweather does not know.
        EngineError: No engine here can run it.
        ParityError: The outputs on this device differ from the golden outputs in the bundle by more than its tolerance.
        UsageError: An argument has the wrong type, the budget or a number is out of range, there is no such engine or
            precision, or the bundle cannot follow the policy.
    """
    return load_several(
        path, [(budget_ms, policy)], engine=engine, precision=precision, threads=threads, max_boxes=max_boxes
    )[0]


def load_several(
    path: Path | str,
    uses: Sequence[tuple[float | None, str | Policy | None]],
    *,
    engine: str | None = None,
    precision: str | None = None,
    threads: int | None = None,
    max_boxes: int = 1,
) -> list[Perceiver]:
    """Opens a bundle once for several uses, such as cameras, each with a budget and a policy of its own.

    The perceivers share the engines and use them in turn. Close the first one, when none of them is used any more.

    Args:
        path: See `load`.
        uses: Budget in milliseconds and policy of each use, at least one; see `load`.
        engine: See `load`.
        precision: See `load`.
        threads: See `load`.
        max_boxes: See `load`.

    Returns:
        One perceiver for each use, in their order.

    Raises:
        AllweatherError: As `load`.
    """
    budgets = [budget_from_ms(milliseconds) for milliseconds, _ in uses]
    if threads is not None:
        _check_count("threads", threads)
    _check_count("boxes", max_boxes)
    if precision is not None:
        check_choice("precision", precision, Precision)
    policies = [policy for _, policy in uses]
    arguments = (budgets, policies, engine, precision, threads, max_boxes)
    try:
        return _load(Bundle.open(path), *arguments)
    except ReplacedError:  # between opening it and reading its models
        return _load(Bundle.open(path), *arguments)


def _load(
    bundle: Bundle,
    budgets: Sequence[Budget],
    policies: Sequence[str | Policy | None],
    engine: str | None,
    precision: str | None,
    threads: int | None,
    max_boxes: int,
) -> list[Perceiver]:
    """Makes the perceivers of an opened bundle; see `load_several`."""
    chosen = [resolve_policy(bundle, policy) for policy in policies]
    classifier_engine, model = open_engine(bundle, engine, precision, threads=threads)
    name = engine or (model.engine if model else "")
    with ExitStack() as undo:
        classifier = _with_watchdog(
            classifier_engine, lambda: open_engine(bundle, engine, precision, threads=threads)[0], name, model
        )
        undo.enter_context(closing(classifier))
        loss_predictor = None
        if any(policy.needs_predictor for policy in chosen):
            predictor_engine = _with_watchdog(
                open_loss_predictor(bundle, model, engine, threads),
                lambda: open_loss_predictor(bundle, model, engine, threads),
                name,
                model,
            )
            loss_predictor = LossPredictor(undo.enter_context(closing(predictor_engine)), bundle.input_of("predictor"))
        large = None
        if any(policy.large for policy in chosen):
            large_engine, large_model = open_large_classifier(bundle, model, engine, precision, threads)
            large_watched = _with_watchdog(
                large_engine,
                lambda: open_large_classifier(bundle, model, engine, precision, threads)[0],
                name,
                large_model,
            )
            large = measured_large_classifier(undo.enter_context(closing(large_watched)), bundle.input, max_boxes)
        counts = {
            count
            for policy, budget in zip(chosen, budgets, strict=True)
            for count in _batches_to_time(policy, budget, max_boxes)
        }
        longest = max(chosen, key=lambda policy: policy.max_views)
        perceiver = Perceiver(
            classifier,
            bundle.classes,
            bundle.input,
            budgets[0],
            policy=chosen[0],
            loss_predictor=loss_predictor,
            large=large,
            view_latency=measure_view_latency(classifier, bundle.input, longest, sorted(counts)),
            predictor_latency=measure_predictor_latency(loss_predictor, max_boxes) if loss_predictor else None,
            engine_name=name,
            precision=model.precision if model else "",
        )
        others = [perceiver.sharing(*use) for use in zip(budgets[1:], chosen[1:], strict=True)]
        undo.pop_all()
        return [perceiver, *others]


def _batches_to_time(policy: Policy, budget: Budget, max_boxes: int) -> tuple[int, ...]:
    """Returns the numbers of views that run as one batch, on one frame or on several boxes of it."""
    if policy.exits_early:
        frame: tuple[int, ...] = (1,)
    else:
        frame = (policy.max_views,) if math.isinf(budget.seconds) else batch_sizes(policy.max_views)
    boxes = (size for size in BATCH_SIZES if max_boxes > 1 and size <= max_boxes * policy.max_views)
    return tuple(sorted({*frame, *boxes}))


def _check_count(of: str, count: int) -> None:
    """Checks a number of threads or boxes.

    Raises:
        UsageError: It is not a whole number within the range that engines take.
    """
    if isinstance(count, bool) or not isinstance(count, int | np.integer) or not 1 <= count <= MAX_THREADS:
        limit = "at least 1" if isinstance(count, int) and count < 1 else f"a whole number from 1 to {MAX_THREADS}"
        raise UsageError(f"the number of {of} is {limit}; got {count!r:.40}")


def budget_from_ms(milliseconds: float | None) -> Budget:
    """Returns the budget of so many milliseconds from capture to decision; None for no deadline.

    Raises:
        UsageError: They are not a number above 0.
    """
    if milliseconds is not None and not (is_real(milliseconds) and milliseconds > 0):
        raise UsageError(f"a budget is above 0 milliseconds; got {milliseconds!r}")
    # Python's whole numbers may be larger than any float
    return Budget() if milliseconds is None or milliseconds > sys.float_info.max else Budget(milliseconds / 1000)


def resolve_policy(bundle: Bundle, policy: str | Policy | None) -> Policy:
    """Returns the policy that a perceiver of a bundle follows.

    Args:
        bundle: The opened bundle.
        policy: A policy, or the name of one; None for the bundle's own, or a single view if it has none.

    Raises:
        UsageError: There is no such policy, or the bundle cannot follow it.
        BundleError: The policy ranks views, and this version of allweather does not know one of the predictor's views.
    """
    tuned, has_predictor = bundle.manifest.policies, bundle.manifest.predictor is not None
    predictor_views = bundle.manifest.views if has_predictor else tuple(VIEWS)
    if isinstance(policy, Policy):
        chosen = policy
    elif policy is None:
        chosen = (*tuned, CENTER)[0]
    else:
        try:
            chosen = parse_policy(policy, tuned, predictor_views)
        except UsageError:
            bundle.check_views()  # if the predictor has an unknown view, that explains the error better
            raise
    check_runnable(chosen, has_predictor, bundle.has_large)
    check_ranked_views([chosen], predictor_views)
    return chosen


def _with_watchdog(engine: Engine, reopen: Callable[[], Engine], name: str, model: Model | None) -> WatchdogEngine:
    """Returns the engine under a watchdog.

    A call may take 20 times as long as the longest one at the export, at least 2 seconds and at most 120.

    Args:
        engine: The open engine.
        reopen: Function that opens such an engine again.
        name: Name of the engine.
        model: The model of the bundle whose measurements set the limit; None for the fake engine.
    """
    measured = max(model.seconds, default=0.0) if model else 0.0
    limit = min(max(STALL_FACTOR * measured, CALL_SECONDS), FIRST_CALL_SECONDS)
    return WatchdogEngine(engine, reopen, name, call_seconds=limit)


def open_loss_predictor(
    bundle: Bundle, classifier: Model | None, engine: str | None = None, threads: int | None = None
) -> Engine:
    """Opens the bundle's loss predictor on the engine that runs its classifier.

    Args:
        bundle: The opened bundle.
        classifier: The classifier of the bundle that runs; None for the fake engine.
        engine: Name of the engine that the user chose; None for the engine of the classifier.
        threads: Number of CPU threads; None for all cores.

    Raises:
        BundleError: The bundle has no loss predictor, or one for a view that this version of allweather does not
            know.
        EngineError: No engine here can run it.
        ParityError: The outputs on this device differ from the golden outputs in the bundle by more than its tolerance.
    """
    chosen = engine or (classifier.engine if classifier else None)
    return open_engine(bundle, chosen, role="predictor", threads=threads)[0]


def open_large_classifier(
    bundle: Bundle,
    classifier: Model | None,
    engine: str | None = None,
    precision: str | None = None,
    threads: int | None = None,
) -> tuple[Engine, Model | None]:
    """Opens the bundle's large classifier on the engine that runs its classifier.

    Args:
        bundle: The opened bundle.
        classifier: See `open_loss_predictor`.
        engine: See `open_loss_predictor`.
        precision: Precision that the user chose for the classifier; where the bundle has no large one in it for this
            engine, and with None, it is the one that the bundle prefers.
        threads: See `open_loss_predictor`.

    Returns:
        The engine, and the model that it runs; None for the fake engine.

    Raises:
        EngineError: No engine here can run it.
        ParityError: The outputs on this device differ from the golden outputs in the bundle by more than its tolerance.
    """
    chosen = engine or (classifier.engine if classifier else None)
    runs = engine_spec(chosen).runs if chosen else None
    fitting = {each.precision for each in bundle.manifest.models if (each.role, each.engine) == ("large", runs)}
    return open_engine(bundle, chosen, precision if precision in fitting else None, "large", threads)
