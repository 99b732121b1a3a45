"""The report of classifiers evaluated on a corrupted test set."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from allweather.evaluation.metrics import calibration_error
from allweather.evaluation.robustness import GroupMean, Robustness
from allweather.reports import image_grids, plots
from allweather.reports.html import Section, page, write_files
from allweather.runtimes.markdown import markdown, markdown_page, markdown_table
from allweather.runtimes.system.path_argument import as_path
from allweather.runtimes.text import printable, to_json
from allweather.runtimes.types import Image
from allweather.trainers.corruptions import COMMON, EXTRA

Row = Sequence[str]
RELIABILITY_NOTE = (
    "Over the predictions for all corrupted images together; the calibration error in the table above is the mean over "
    "the cells, each a corruption at a severity."
)


def write_corrupted_report(
    results: Sequence[Robustness], mistakes: Sequence[Mapping[str, Image]], folder: Path | str
) -> None:
    """Writes report.html, report.md, result.json and errors.png, and two plots for each model.

    The two plots are reliability-N.png and mistakes-N.png, where N counts the models from 1.

    Args:
        results: One result for each model, all on the same corrupted set.
        mistakes: For each model the image of each of its mistakes, uint8 [h, w, 3], by corruption.
        folder: Folder to write into.

    Raises:
        OutputError: The folder cannot be written to.
    """
    folder = as_path(folder)
    names = [name for name in (*COMMON, *EXTRA) if name in results[0].mean_errors()]
    titles = [result.provenance.title for result in results]
    summary, errors = summary_table(results), error_table(results, names)
    sections = [
        Section("Result", "; ".join(results[0].provenance.notes), summary),
        Section("Error by corruption and severity, %", image="errors.png"),
        Section("Error by corruption, mean over five severities, %", table=errors),
    ]
    by_severity = [result.errors_by_severity() for result in results]
    files: dict[str, bytes | str] = {
        "errors.png": plots.error_heatmap(by_severity, titles, (COMMON, EXTRA)),
        "result.json": json.dumps({"results": to_json(results)}, indent=1),
    }
    for number, (result, images) in enumerate(zip(results, mistakes, strict=True), 1):
        model_files, model_sections = _model_sections(result, images, number)
        files |= model_files
        sections += model_sections
    provenance = results[0].provenance
    heading = f"Robustness on {provenance.data}"
    lead = f"{provenance.images} images in each cell, {results[0].corrupted}; {provenance.machine}"
    files["report.html"] = page(heading, lead, sections)
    notes = [f"- {markdown(note)}" for note in provenance.notes]
    image = ["![Error by corruption and severity](errors.png)"]
    files["report.md"] = markdown_page(heading, lead, notes, markdown_table(summary), markdown_table(errors), image)
    write_files(folder, files)


def _model_sections(
    result: Robustness, images: Mapping[str, Image], number: int
) -> tuple[dict[str, bytes], list[Section]]:
    """Returns the plots of one model, by file name, and the sections that show them."""
    title, reliability = result.provenance.title, f"reliability-{number}.png"
    files = {reliability: plots.reliability_diagram(result.reliability, calibration_error(result.reliability))}
    sections = [
        Section(f"{title}: reliability diagram on corrupted images", RELIABILITY_NOTE, image=reliability),
    ]
    if result.mistakes:
        captions = [
            f"{each.corruption}, severity {each.severity}\ntrue: {printable(each.label)}\n"
            f"predicted: {printable(each.predicted)} ({each.confidence:.0%})"
            for each in result.mistakes
        ]
        mistakes = f"mistakes-{number}.png"
        files[mistakes] = image_grids.gallery([images[each.corruption] for each in result.mistakes], captions)
        text = "For each corruption the incorrect prediction with the highest confidence."
        sections.append(Section(f"{title}: most confident mistakes", text, image=mistakes))
    return files, sections


def summary_table(results: Sequence[Robustness]) -> list[Row]:
    """Returns a table of means, with 95 % bootstrap intervals of the errors; one column for each model."""
    rows: list[Row] = [("", *(result.provenance.title for result in results))]
    rows.append(("clean error, %", *(_interval(each.clean.error, each.clean.low, each.clean.high) for each in results)))
    for label, means in (
        ("common 15", [each.common for each in results]),
        ("extra 4", [each.extra for each in results]),
    ):
        rows += [(f"{label}: {metric}", *cells) for metric, cells in _mean_metrics(means).items()]
    if results[0].baseline is not None:
        cells = ["not all 15" if each.mce is None else f"{each.mce:.2f}" for each in results]
        rows.append((f"mCE, baseline {Path(results[0].baseline).name}", *cells))
    rows.append(("clean calibration error, %", *(f"{100 * each.clean.calibration_error:.2f}" for each in results)))
    return rows


def _mean_metrics(means: Sequence[GroupMean | None]) -> dict[str, list[str]]:
    """Returns the cells of each metric of a group of corruptions; nothing if the set has none of them."""
    present = [mean for mean in means if mean is not None]
    if len(present) < len(means):
        return {}
    missing = f", {len(present[0].missing)} missing" if present[0].missing else ""
    return {
        f"error, %{missing}": [_interval(mean.error, mean.low, mean.high) for mean in present],
        "calibration error, %": [f"{100 * mean.calibration_error:.2f}" for mean in present],
        "Brier score, 0 to 2": [f"{mean.brier:.4f}" for mean in present],
        "NLL, nats": [f"{mean.nll:.4f}" for mean in present],
    }


def error_table(results: Sequence[Robustness], names: Sequence[str]) -> list[Row]:
    """Returns a table of errors in percent: one row for each named corruption, one column for each model."""
    columns = [result.mean_errors() for result in results]
    head = ("corruption", *(result.provenance.title for result in results))
    return [head, *((name, *(f"{100 * column[name]:.2f}" for column in columns)) for name in names)]


def _interval(value: float, low: float, high: float) -> str:
    return f"{100 * value:.2f} ({100 * low:.2f} to {100 * high:.2f})"
