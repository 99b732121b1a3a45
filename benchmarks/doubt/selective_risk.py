"""Which share of accepted decisions are errors: on clean, corrupted and other images, beside the risk asked for.

    python benchmarks/doubt/selective_risk.py MODEL DATA CORRUPTED OUT [--policy TEXT]... [--risk SHARE]... [--images N]

A policy's confidence is calibrated, and its threshold found, on the val split, as `allweather tune-policy --risk` does
it for a model without a loss predictor. The rest is test images: as they are, in the kinds of corruption of the val
split, in the four kinds that tuning never uses, a reference set of all nineteen (CORRUPTED), and images of other
things. OUT gets the logits, so that the tables can be made again in seconds, and two plots.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from judged_groups import CLEAN, FIRST, HELD_OUT, OTHER, SECOND, SEEN, all_logits
from risk_plots import reliability_plot, risk_coverage_plot

from allweather.evaluation.metrics import calibration_error, reliability_bins
from allweather.runtimes.markdown import markdown_table
from allweather.runtimes.system.device import this_device
from allweather.runtimes.tta.confidence_model import ConfidenceModel
from allweather.runtimes.tta.policy import Policy
from allweather.runtimes.tta.policy_names import parse_policy
from allweather.trainers.corruptions import COMMON, EXTRA
from allweather.trainers.inference.open_model import open_model
from allweather.trainers.policies.acceptance import JudgedDecisions, find_acceptance, judge
from allweather.trainers.policies.confidence import decisions_of_budgets, fit_confidence_model
from allweather.trainers.policies.every_view import ViewLogits

SPLITS = 200  # random divisions of images, to see how often a threshold does not hold its risk
Logits = Mapping[str, ViewLogits]


def judged(policy: Policy, model: ConfidenceModel, results: ViewLogits) -> list[JudgedDecisions]:
    """Returns the decisions for each number of views."""
    return [judge(model, each) for each in decisions_of_budgets(policy, results)]


def tuned(policy: Policy, logits: Logits, risk: float | None) -> ConfidenceModel:
    """Fits the confidence model on the first half of the val split, and finds the threshold on the second."""
    model = fit_confidence_model(policy, logits[FIRST])
    if risk is None:
        return model
    first, second = (judged(policy, model, logits[name]) for name in (FIRST, SECOND))
    return replace(model, acceptance=find_acceptance(first, second, risk))


def risk_and_coverage(decisions: Sequence[JudgedDecisions], threshold: float) -> tuple[float, float, int]:
    """Returns the share of errors among accepted decisions, the share of accepted ones, both 0..1, and their number."""
    total = sum(len(each.correct) for each in decisions)
    counts = np.sum([each.counts(threshold) for each in decisions], 0)
    return float(counts[1] / max(counts[0], 1)), float(counts[0] / total), int(counts[0])


def calibration_table(policies: Sequence[Policy], logits: Logits) -> list[str]:
    """Returns the expected calibration error of each policy, before and after, for each group."""
    names = (CLEAN, SEEN, HELD_OUT)
    rows = [
        (
            "policy",
            "views",
            "temperature",
            *(f"{name}: before" for name in names),
            *(f"{name}: after" for name in names),
        )
    ]
    for policy in policies:
        model = tuned(policy, logits, None)
        for number in range(policy.max_views):
            before, after = [], []
            for name in names:
                each = [*decisions_of_budgets(policy, logits[name])][number]
                calibrated = judge(replace(model, max_energies=(1e300,) * policy.max_views), each)
                plain = each.probabilities.max(1).clip(0, 1)
                before.append(calibration_error(reliability_bins(plain, each.correct)))
                after.append(calibration_error(reliability_bins(calibrated.confidence, each.correct)))
            texts = (f"{100 * value:.1f}" for value in (*before, *after))
            rows.append((policy.name, str(number + 1), f"{model.temperatures[number]:.2f}", *texts))
    return markdown_table(rows)


def risk_table(policies: Sequence[Policy], risks: Sequence[float], logits: Logits) -> list[str]:
    """Returns risk and coverage of accepted decisions, with one view and with all views."""
    groups = (CLEAN, SEEN, HELD_OUT)
    rows = [("policy", "asked for", "accepted from", "views", *(f"{name}: risk (coverage), %" for name in groups))]
    for policy in policies:
        for risk in risks:
            found = tuned(policy, logits, risk)
            if found.acceptance is None:
                rows.append((policy.name, f"{100 * risk:g} %", "none holds it", "", *("" for _ in groups)))
                continue
            threshold = found.acceptance.threshold
            for number in range(policy.max_views):
                cells = []
                for name in groups:
                    share, coverage, _ = risk_and_coverage([judged(policy, found, logits[name])[number]], threshold)
                    cells.append(f"{100 * share:.2f} ({100 * coverage:.1f})")
                rows.append((policy.name, f"{100 * risk:g} %", f"{threshold:.4f}", str(number + 1), *cells))
    return markdown_table(rows)


def kinds_table(policy: Policy, risk: float, logits: Logits) -> list[str]:
    """Returns risk and coverage for each kind of corruption of the reference set, and for images of other things."""
    found = tuned(policy, logits, risk)
    assert found.acceptance is not None
    threshold = found.acceptance.threshold
    rows = [("images", "number", "error of all, %", "accepted, %", "errors among accepted, %", "unknown, %")]
    parts: dict[str, Sequence[str]] = {
        "the 15 kinds": COMMON, "the 4 held-out kinds": EXTRA,
        **{name: (name,) for name in (*COMMON, *EXTRA, *OTHER)},
    }  # fmt: skip
    for title, names in parts.items():
        decisions = [judged(policy, found, logits[name])[-1] for name in names]
        share, coverage, accepted = risk_and_coverage(decisions, threshold)
        unknown = np.mean(np.concatenate([np.isneginf(each.confidence) for each in decisions]))
        errors = np.mean(np.concatenate([~each.correct for each in decisions]))
        of_accepted = f"{100 * share:.2f} of {accepted}" if title not in OTHER else ""
        of_all = f"{100 * errors:.1f}" if title not in OTHER else ""
        number = sum(len(each.correct) for each in decisions)
        rows.append((title, str(number), of_all, f"{100 * coverage:.1f}", of_accepted, f"{100 * unknown:.1f}"))
    return markdown_table(rows)


def violations(policy: Policy, risk: float, logits: Logits, sizes: Sequence[int], seed: int) -> list[str]:
    """Divides images of one kind at random, many times, and counts how often the threshold did not hold its risk.

    Returns a table: the share of divisions in which a threshold was found, and in which the accepted decisions on the
    images that it was not found on had more errors than asked for, at some number of views.
    """
    rng, model = np.random.default_rng(seed), fit_confidence_model(policy, logits[FIRST])
    first = judged(policy, model, logits[FIRST])
    pool = [
        JudgedDecisions(
            np.concatenate([one.confidence, other.confidence]), np.concatenate([one.correct, other.correct])
        )
        for one, other in zip(judged(policy, model, logits[SECOND]), judged(policy, model, logits[SEEN]), strict=True)
    ]
    rows = [("images", "threshold found, %", "risk exceeded, %", "mean coverage, %", "mean risk, %")]
    for size in sizes:
        results: list[tuple[float, float]] = []
        for _ in range(SPLITS):
            order = rng.permutation(len(pool[0].correct))
            shown, rest = (_rows(pool, order[part]) for part in (slice(size), slice(size, None)))
            found = find_acceptance(first, shown, risk)
            if found is not None:
                shares = [risk_and_coverage([each], found.threshold)[:2] for each in rest]
                results.append((max(share for share, _ in shares), shares[-1][1]))
        risks = np.array([share for share, _ in results])
        coverage = np.mean([each for _, each in results]) if results else 0.0
        rows.append(
            (
                str(size), f"{100 * len(results) / SPLITS:.1f}", f"{100 * (risks > risk).sum() / SPLITS:.1f}",
                f"{100 * coverage:.1f}", f"{100 * risks.mean():.2f}" if results else "",
            )
        )  # fmt: skip
    return markdown_table(rows)


def _rows(decisions: Sequence[JudgedDecisions], rows: npt.NDArray[np.int64]) -> list[JudgedDecisions]:
    return [JudgedDecisions(each.confidence[rows], each.correct[rows]) for each in decisions]


def main() -> None:
    """Prints the tables and writes the plots."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("model", "data", "corrupted", "out"):
        parser.add_argument(name)
    parser.add_argument("--policy", action="append")
    parser.add_argument("--risk", action="append", type=float)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    policies = [parse_policy(text) for text in args.policy or ["center", "hflip"]]
    risks = args.risk or [0.01, 0.02, 0.05]
    names = list(dict.fromkeys(name for policy in policies for name in policy.views))
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    with open_model(args.model) as model:
        dataset = model.open_data(args.data)
        logits = all_logits(model, dataset, args.corrupted, names, args.images, args.seed, out / "logits")
        print(f"\n{model.path}, {model.backend}; {this_device().line()}; seed {args.seed}")
    print("\nExpected calibration error, %:\n", *calibration_table(policies, logits), sep="\n")
    print("\nAccepted decisions:\n", *risk_table(policies, risks, logits), sep="\n")
    middle = risks[len(risks) // 2]
    for policy in policies:
        print(f"\nBy kind, {policy.name}, {100 * middle:g} %:\n", *kinds_table(policy, middle, logits), sep="\n")
        print(f"\nRandom divisions, {policy.name}, {100 * middle:g} %:\n")
        print(*violations(policy, middle, logits, (250, 1000, 2500), args.seed), sep="\n")
    policy = policies[-1]
    model_of_plot = tuned(policy, logits, middle)
    shown = {name: judged(policy, model_of_plot, logits[name])[-1] for name in (CLEAN, SEEN, HELD_OUT)}
    threshold = None if model_of_plot.acceptance is None else model_of_plot.acceptance.threshold
    (out / "selective-risk.png").write_bytes(risk_coverage_plot(shown, middle, threshold, policy.name))
    decisions = {name: [*decisions_of_budgets(policy, logits[name])][-1] for name in (SEEN, HELD_OUT)}
    (out / "confidence-calibration.png").write_bytes(reliability_plot(decisions, model_of_plot, policy.name))


if __name__ == "__main__":
    main()
