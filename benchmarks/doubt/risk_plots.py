"""Plots of accepted decisions: their errors by their share of all, and accuracy by confidence before and after."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from allweather.evaluation.metrics import calibration_error, reliability_bins
from allweather.reports.figure import BLUE, GRAY, GREEN, RED, png_figure
from allweather.runtimes.tta.confidence_model import ConfidenceModel
from allweather.trainers.policies.acceptance import JudgedDecisions, judge
from allweather.trainers.policies.confidence import BudgetDecisions

FEWEST = 100  # accepted decisions from which a share of errors is drawn


def risk_coverage_plot(
    groups: Mapping[str, JudgedDecisions], risk: float, threshold: float | None, policy: str
) -> bytes:
    """Draws the share of errors among accepted decisions by coverage, with a dot where the threshold lies.

    Returns:
        A PNG.
    """
    with png_figure(7.0, 4.4) as (figure, png):
        axes = figure.add_subplot()
        for (name, each), color in zip(groups.items(), (GREEN, BLUE, RED), strict=True):
            order = np.argsort(-each.confidence, kind="stable")
            counts = np.arange(1, len(order) + 1)
            shares = (~each.correct[order]).cumsum() / counts
            axes.plot(100 * counts[FEWEST:] / len(order), 100 * shares[FEWEST:], color=color, label=name)
            if threshold is not None:
                accepted, errors = each.counts(threshold)
                axes.plot(100 * accepted / len(order), 100 * errors / max(accepted, 1), "o", color=color)
        axes.axhline(100 * risk, color=GRAY, linestyle="--", label=f"asked for: {100 * risk:g} %")
        axes.set(
            xlabel="accepted decisions, % of all (coverage)", ylabel="errors among accepted decisions, % (risk)",
            title=f"Errors among accepted decisions, policy {policy}; dots: the stored threshold",
            xlim=(0, 100), ylim=(0, None),
        )  # fmt: skip
        axes.legend()
    return png.getvalue()


def reliability_plot(groups: Mapping[str, BudgetDecisions], model: ConfidenceModel, policy: str) -> bytes:
    """Draws accuracy by confidence for each group, before and after the temperature.

    Returns:
        A PNG.
    """
    known = replace(model, max_energies=(1e300,) * len(model.max_energies))
    with png_figure(4.6 * len(groups), 4.4) as (figure, png):
        panels = figure.subplots(1, len(groups), sharey=True)
        for axes, (name, each) in zip(panels, groups.items(), strict=True):
            before, after = each.probabilities.max(1).clip(0, 1), judge(known, each).confidence
            for confidence, color, label in ((before, GRAY, "before"), (after, BLUE, "after")):
                bins = reliability_bins(confidence, each.correct)
                points = [(mean, accuracy) for count, mean, accuracy in bins if count >= 20]
                error = f"{label}: calibration error {100 * calibration_error(bins):.1f} %"
                axes.plot(*zip(*points, strict=True), marker="o", color=color, label=error)
            axes.plot((0, 1), (0, 1), color=GRAY, linestyle=":", linewidth=1)
            axes.set(xlabel="confidence", title=f"{name}, policy {policy}", xlim=(0, 1), ylim=(0, 1))
            axes.legend(loc="upper left")
        panels[0].set_ylabel("accuracy")
    return png.getvalue()
