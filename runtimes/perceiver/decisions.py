"""The decisions on a frame, or on several objects of it, from what was run for them."""

from __future__ import annotations

from collections.abc import Sequence

from allweather.runtimes.perceiver.prediction import Prediction, no_prediction, predict
from allweather.runtimes.perceiver.run_objects import ObjectsResult
from allweather.runtimes.region import Region
from allweather.runtimes.tta.policy import LARGE, Policy
from allweather.runtimes.tta.run_views import ViewResult
from allweather.runtimes.types import Decision, Frame, Plan, Reason, StageTimes


def frame_decision(
    classes: Sequence[str],
    policy: Policy,
    frame: Frame,
    skipped: int,
    plan: Plan,
    result: ViewResult,
    times: StageTimes,
    age: float,
    *,
    late: bool,
) -> Decision:
    """Returns the decision on a whole frame.

    Args:
        classes: Class names, in the order of the logits.
        policy: The policy of the plan.
        frame: The frame.
        skipped: Number of frames that were dropped since the previous one.
        plan: Which views were to be run.
        result: What was run.
        times: Seconds that each stage took.
        age: Seconds from capture to decision.
        late: Whether the decision was made after its deadline.
    """
    predicted = predict(result.probabilities, result.views_run, result.energy, policy, classes)
    reason: Reason = plan.reason
    if result.views_run < len(plan.views):
        reason = "early_exit" if predicted.average_confidence > policy.early_exit_threshold else "budget"
    return Decision(
        label=predicted.label,
        confidence=predicted.confidence,
        probabilities=predicted.probabilities,
        index=frame.index,
        views=plan.views[: result.views_run],
        predicted_losses=plan.predicted_losses[: result.views_run],
        times=times,
        age=age,
        late=late,
        skipped=skipped,
        planned_views=plan.planned_views,
        time_left=plan.time_left,
        expected_seconds=plan.expected_seconds,
        reason=reason,
        accepted=predicted.accepted,
        unknown=predicted.unknown,
        agreement=result.agreement,
    )


def stage_times(started: float, prepare_done: float, rank_done: float, result: ViewResult, done: float) -> StageTimes:
    """Returns the seconds of each stage of a decision on one frame.

    Args:
        started: Time of the clock at the start, in seconds.
        prepare_done: When the image was prepared.
        rank_done: When the views were ranked.
        result: What was run.
        done: When the views were averaged.
    """
    return StageTimes(
        prepare=prepare_done - started,
        rank=rank_done - prepare_done,
        plan=result.started - rank_done,
        views=result.view_seconds,
        infer=result.infer_seconds,
        aggregate=done - result.started - result.view_seconds - result.infer_seconds,
    )


def object_predictions(result: ObjectsResult, policy: Policy, classes: Sequence[str]) -> list[Prediction]:
    """Returns what is predicted for each object.

    Args:
        result: What was run.
        policy: The policy of all objects.
        classes: Class names, in the order of the logits.
    """
    return [
        predict(state.probabilities(policy.averages), state.views_run, state.energy(policy), policy, classes)
        if state.views_run
        else no_prediction(policy, classes)
        for state in result.states
    ]


def object_decisions(
    result: ObjectsResult,
    predictions: Sequence[Prediction],
    policy: Policy,
    frame: Frame,
    regions: Sequence[Region],
    skipped: int,
    *,
    prepare_seconds: float,
    run_seconds: float,
    age: float,
    late: bool,
) -> list[Decision]:
    """Returns the decision on each object.

    The stage times of a decision are its share of those of all: of views and inference by the number of its views, of
    the other stages an equal one.

    Args:
        result: What was run.
        predictions: What is predicted for each object.
        policy: The policy of all objects.
        frame: The frame.
        regions: The part of the frame that each object is in.
        skipped: Number of frames that were dropped since the previous one.
        prepare_seconds: Seconds spent on cropping and resizing.
        run_seconds: Seconds spent on what was run, all stages together.
        age: Seconds from capture to decision.
        late: Whether the decisions were made after their deadline.
    """
    count, views_run = len(result.states), result.views_run
    rest = run_seconds - result.rank_seconds - result.view_seconds - result.infer_seconds
    decisions = []
    for index, (state, predicted) in enumerate(zip(result.states, predictions, strict=True)):
        share = state.views_run / views_run
        times = StageTimes(
            prepare=prepare_seconds / count,
            rank=result.rank_seconds / count,
            plan=0.0,
            views=share * result.view_seconds,
            infer=share * result.infer_seconds,
            aggregate=rest / count,
        )
        decisions.append(
            Decision(
                label=predicted.label,
                confidence=predicted.confidence,
                probabilities=predicted.probabilities,
                index=frame.index,
                views=state.views[: state.views_run],
                predicted_losses=state.predicted_losses[: state.views_run],
                times=times,
                age=age,
                late=late,
                skipped=skipped,
                planned_views=policy.planned_views,
                time_left=result.time_left,
                reason=_reason(result, index, policy, predicted.average_confidence),
                region=regions[index],
                accepted=predicted.accepted,
                unknown=predicted.unknown,
                agreement=state.agreement(policy.averages) if state.views_run else 1.0,
            )
        )
    return decisions


def _reason(result: ObjectsResult, index: int, policy: Policy, average_confidence: float) -> Reason:
    state = result.states[index]
    if not state.views_run:
        return "undecided"
    if result.forced and index == 0:
        return "past_deadline"
    without_large = policy.large and not state.views[-1].startswith(LARGE)
    if state.views_run < len(state.views) or without_large:
        return "early_exit" if average_confidence > policy.early_exit_threshold else "budget"
    return "no_time_to_rank" if policy.needs_predictor and not result.ranked else "policy"
