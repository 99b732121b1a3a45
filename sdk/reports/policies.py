"""The report of a model evaluated with several test-time augmentation policies."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from allweather.evaluation.error_rate import ErrorRate
from allweather.evaluation.policies import PolicyEvaluation, PolicyResult
from allweather.reports import image_grids, plots
from allweather.reports.corrupted import GROUP_TITLES, corruptions_measured, title_of_measured
from allweather.reports.html import Section, page, write_files
from allweather.reports.reading import BOOTSTRAP, Origin, origin_section, reading_section, section_in_markdown
from allweather.runtimes.markdown import markdown, markdown_page, markdown_table
from allweather.runtimes.system.path_argument import as_path
from allweather.runtimes.text import printable, to_json
from allweather.runtimes.types import Image
from allweather.trainers.corruptions import COMMON, EXTRA

Row = Sequence[str]
ACCEPTED = "accepted, % (errors among them), clean / common / extra"
CHANGE = "change, points, clean / common / extra"
_IN_A_FILE_NAME = re.compile(r"[a-z0-9.-]{1,80}")
TABLE_NOTE = (
    "Mean views and latency ratio are those on clean / common corrupted images where they differ. The latency ratio is "
    "the time of a decision relative to that with one view. The change is that of the error beside one view on the "
    "same images (paired, 95 %): where the interval does not hold 0, it is beyond chance. The share of oracle gain is "
    "how much of the accuracy that the best single view would gain over one view the policy gains."
)
ITEMS = (
    (
        "Views that a policy ranks first",
        "For each corruption, the share of its images in percent on which a view was ranked first. That of oracle:1 "
        "shows which view would have been best.",
    ),
    ("Predictions that a policy changes", "Examples of both kinds, and not in proportion: the table counts them."),
)
CHANGED_NOTE = (
    "One view predicts the class incorrectly and the policy correctly, or the reverse. Below the true class: the view "
    "that the policy ranks first."
)


def write_policy_report(
    result: PolicyEvaluation, changed: Sequence[Image], folder: Path | str, origin: Origin | None = None
) -> None:
    """Writes report.html, report.md, result.json and plots.

    The plots are views-POLICY.png for each policy that ranks views, and changed-predictions.png.

    Args:
        result: Result of one model.
        changed: The image of each of its changed predictions, uint8 [h, w, 3].
        folder: Folder to write into.
        origin: Which run made it; None for a program that called allweather.

    Raises:
        OutputError: The folder cannot be written to.
    """
    folder = as_path(folder)
    provenance = result.provenance
    summary, errors = summary_table(result), error_table(result)
    notes = [*provenance.notes, *correlations(result)]
    names = list(result.results[0].errors)
    measured = corruptions_measured(names, provenance.images) if names else f"{provenance.images} clean images."
    reading = reading_section(TABLE_NOTE, [("What was measured", measured), ("Intervals", BOOTSTRAP), *ITEMS])
    sections = [Section("Result", "; ".join(notes), summary), reading]
    files: dict[str, bytes | str] = {"result.json": json.dumps(to_json(result), indent=1)}
    for number, each in enumerate(result.results, 1):
        if each.policy.startswith(("top", "oracle")):
            name = _file_name(each.policy, number)
            files[name] = plots.view_heatmap(each.view_shares, each.views, each.policy)
            sections.append(Section(f"Views that {each.policy} ranks first", image=name))
    if changed:
        captions = [
            f"{each.corruption}, severity {each.severity}\n{printable(each.label)}: now "
            f"{'correct' if each.improved else 'incorrect'}\n{each.view}"
            for each in result.changed_predictions
        ]
        files["changed-predictions.png"] = image_grids.gallery(list(changed), captions)
        heading = f"Predictions that {result.changed_predictions[0].policy} changes"
        sections.append(Section(heading, CHANGED_NOTE, image="changed-predictions.png"))
    if len(errors) > 1:
        sections.append(Section("Error by corruption, mean over five severities, %", table=errors))
    made = origin_section(origin)
    sections.append(made)
    heading = f"Test-time augmentation policies: {Path(provenance.model).name} on {provenance.data}"
    lead = f"{provenance.backend}; {provenance.images} images in each cell, {result.corrupted}; {provenance.machine}"
    files["report.html"] = page(heading, lead, sections)
    lines = [f"- {markdown(note)}" for note in notes]
    texts = map(section_in_markdown, (reading, made))
    files["report.md"] = markdown_page(heading, lead, lines, markdown_table(summary), markdown_table(errors), *texts)
    write_files(folder, files)


def _file_name(policy: str, number: int) -> str:
    """Returns the name of the plot of a policy; one that was stored may have a name with slashes, or a long one."""
    written = policy.translate(str.maketrans(":+@", "---"))
    return f"views-{written if _IN_A_FILE_NAME.fullmatch(written) else number}.png"


def summary_table(result: PolicyEvaluation) -> list[Row]:
    """Returns a table with a row for each policy; what was not measured has no column."""
    rows: list[Row] = [
        (
            "policy", "mean views", "latency ratio", "clean error, %",
            *(f"{title_of_measured(title, group, result.results[0].errors)}, %" for title, group in GROUP_TITLES),
            CHANGE, "share of oracle gain, %", ACCEPTED,
        )
    ]  # fmt: skip
    for each in result.results:
        share = "" if each.share_of_oracle_gain is None else f"{100 * each.share_of_oracle_gain:.1f}"
        rows.append(
            (
                each.policy,
                _clean_and_corrupted(each.mean_views["clean"], each.mean_views["common"]),
                _clean_and_corrupted(each.latency_ratio, each.corrupted_latency_ratio),
                *map(_interval, (each.clean, each.common, each.extra)),
                _changes(each),
                share,
                _accepted(each),
            )
        )
    measured = [any(cells) for cells in zip(*rows[1:], strict=True)]
    return [tuple(cell for cell, is_shown in zip(row, measured, strict=True) if is_shown) for row in rows]


def _changes(result: PolicyResult) -> str:
    """Returns the change of the error in each group with images, in points; nothing for one view."""
    return " / ".join(
        f"{100 * each.value:+.2f} ({100 * each.low:+.2f} to {100 * each.high:+.2f})"
        for each in result.changes.values()
        if each is not None
    )


def _accepted(result: PolicyResult) -> str:
    """Returns coverage and risk of each group with images, in percent; nothing for a policy without a threshold."""
    parts = []
    for name, coverage in result.coverage.items():
        risk = result.selective_risk[name]
        if coverage is not None:
            parts.append(f"{100 * coverage:.1f}" + ("" if risk is None else f" ({100 * risk:.2f})"))
    return " / ".join(parts)


def correlations(result: PolicyEvaluation) -> list[str]:
    """Returns a line with the rank correlations of predicted and true losses; no line without a loss predictor."""
    known = [f"{name} {value:.3f}" for name, value in result.rank_correlation.items() if value is not None]
    return [f"rank correlation of predicted and true losses: {', '.join(known)}"] if known else []


def error_table(result: PolicyEvaluation) -> list[Row]:
    """Returns a table of errors in percent: one row for each corruption, one column for each policy."""
    names = [name for name in (*COMMON, *EXTRA) if name in result.results[0].errors]
    head = ("corruption", *(each.policy for each in result.results))
    return [head, *((name, *(f"{100 * each.errors[name]:.2f}" for each in result.results)) for name in names)]


def _clean_and_corrupted(clean: float | None, corrupted: float | None) -> str:
    """Returns "clean / corrupted", or one number where both are the same or one is missing."""
    texts = [f"{value:.2f}" for value in (clean, corrupted) if value is not None]
    return " / ".join(dict.fromkeys(texts))


def _interval(error: ErrorRate | None) -> str:
    return "" if error is None else f"{100 * error.value:.2f} ({100 * error.low:.2f} to {100 * error.high:.2f})"
