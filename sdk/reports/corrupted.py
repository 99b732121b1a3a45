"""The report of classifiers evaluated on a corrupted test set."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from allweather.evaluation.error_rate import ErrorChange, are_paired, paired_difference
from allweather.evaluation.metrics import calibration_error
from allweather.evaluation.robustness import GroupMean, Robustness
from allweather.reports import image_grids, plots
from allweather.reports.html import Section, page, write_files
from allweather.reports.reading import (
    BOOTSTRAP,
    Origin,
    difference_row,
    origin_section,
    reading_section,
    section_in_markdown,
)
from allweather.runtimes.markdown import markdown, markdown_page, markdown_table
from allweather.runtimes.system.path_argument import as_path
from allweather.runtimes.text import printable, to_json
from allweather.runtimes.types import Image
from allweather.trainers.corruptions import COMMON, EXTRA

Row = Sequence[str]
READING = (
    "Errors are the share of images that are classified incorrectly, with one view of each; the mean of a group is "
    "that over all of its corruptions and their five severities."
)
DIFFERENCES = (
    "Below an error is by how many points it differs from that of the first model, below 0 for fewer errors, and in "
    "parentheses the 95 % interval of that, for which images are drawn for both models together (paired). Where it "
    "does not hold 0, the difference is more than which images were tested can make; fewer than 50 images decide "
    "nothing. It says nothing of another training: to compare two methods of training, repeat both with several seeds."
)
GROUP_TITLES = (("common 15", COMMON), ("extra 4", EXTRA))
ITEMS = (
    (
        "Error by corruption and severity",
        "Each cell is the error in percent at one severity, 1 the mildest; the interval of each is in result.json.",
    ),
    (
        "Reliability diagram",
        "Each bar is the accuracy of the predictions whose confidence falls into one of 15 bins, and the dashed line "
        "where it would be with perfect calibration; the gray bars below count the images of each bin. No interval.",
    ),
    ("Most confident mistakes", "Examples, chosen because they are the worst: they say nothing of how many there are."),
)
RELIABILITY_NOTE = (
    "Over the predictions for all corrupted images together; the calibration error in the table above is the mean over "
    "the cells, each a corruption at a severity."
)


def write_corrupted_report(
    results: Sequence[Robustness],
    mistakes: Sequence[Mapping[str, Image]],
    folder: Path | str,
    origin: Origin | None = None,
) -> None:
    """Writes report.html, report.md, result.json and errors.png, and two plots for each model.

    The two plots are reliability-N.png and mistakes-N.png, where N counts the models from 1.

    Args:
        results: One result for each model, all on the same corrupted set.
        mistakes: For each model the image of each of its mistakes, uint8 [h, w, 3], by corruption.
        folder: Folder to write into.
        origin: Which run made it; None for a program that called allweather.

    Raises:
        OutputError: The folder cannot be written to.
    """
    folder = as_path(folder)
    names = [name for name in (*COMMON, *EXTRA) if name in results[0].mean_errors()]
    titles = [result.provenance.title for result in results]
    summary, errors = summary_table(results), error_table(results, names)
    measured = corruptions_measured(names, results[0].provenance.images)
    differences = [("Differences", DIFFERENCES)] if _differences(results) else []
    items = [("What was measured", measured), ("Intervals", BOOTSTRAP), *differences, *ITEMS]
    reading = reading_section(READING, items)
    sections = [
        Section("Result", "; ".join(results[0].provenance.notes), summary),
        reading,
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
    made = origin_section(origin)
    sections.append(made)
    provenance = results[0].provenance
    heading = f"Robustness on {provenance.data}"
    lead = f"{provenance.images} images in each cell, {results[0].corrupted}; {provenance.machine}"
    files["report.html"] = page(heading, lead, sections)
    notes = [f"- {markdown(note)}" for note in provenance.notes]
    image = ["![Error by corruption and severity](errors.png)"]
    tables = (markdown_table(summary), markdown_table(errors))
    texts = map(section_in_markdown, (reading, made))
    files["report.md"] = markdown_page(heading, lead, notes, *tables, image, *texts)
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


def corruptions_measured(names: Sequence[str], images: int) -> str:
    """Returns the sentence that says which of the 15 common and the 4 extra corruptions were measured.

    Args:
        names: Names of the corruptions that were.
        images: Number of images of each at each severity.
    """
    parts = []
    for title, group in GROUP_TITLES:
        missing = [name for name in group if name not in names]
        if len(missing) == len(group):
            parts.append(f"none of the {title}")
        elif missing:
            parts.append(f"{len(group) - len(missing)} of the {title} ({', '.join(missing)} missing)")
        else:
            parts.append(f"all of the {title}")
    text = " and ".join(parts)
    return f"{text[0].upper()}{text[1:]}, at five severities, {images} images in each cell."


def title_of_measured(title: str, group: Sequence[str], names: Collection[str]) -> str:
    """Returns the title of a group of corruptions, such as "common 15"; if a part was measured, "2 of the common 15".

    Args:
        title: Title of the whole group.
        group: Names of its corruptions.
        names: Names of the corruptions that were measured.
    """
    measured = sum(name in names for name in group)
    return f"{measured} of the {title}" if 0 < measured < len(group) else title


def summary_table(results: Sequence[Robustness]) -> list[Row]:
    """Returns a table of means, with 95 % bootstrap intervals of the errors; one column for each model."""
    rows: list[Row] = [("", *(result.provenance.title for result in results))]
    rows.append(("clean error, %", *(_interval(each.clean.error, each.clean.low, each.clean.high) for each in results)))
    differences = _differences(results)
    rows += difference_row("clean", [each["clean"] for each in differences])
    for (title, names), group, means in zip(
        GROUP_TITLES,
        ("common", "extra"),
        ([each.common for each in results], [each.extra for each in results]),
        strict=True,
    ):
        label = title_of_measured(title, names, results[0].mean_errors())
        metrics = [(f"{label}: {metric}", *cells) for metric, cells in _mean_metrics(means).items()]
        rows += [*metrics[:1], *difference_row(label, [each[group] for each in differences]), *metrics[1:]]
    if results[0].baseline is not None:
        cells = ["not all 15" if each.mce is None else f"{each.mce:.2f}" for each in results]
        rows.append((f"mCE, baseline {Path(results[0].baseline).name}", *cells))
    rows.append(("clean calibration error, %", *(f"{100 * each.clean.calibration_error:.2f}" for each in results)))
    return rows


def _differences(results: Sequence[Robustness]) -> list[dict[str, ErrorChange | None]]:
    """Returns how each model but the first differs from it, by group; nothing unless all are of the same images."""
    first, *others = results
    if not all(are_paired(first, each) for each in others):
        return []
    found = [paired_difference(first, each) for each in others]
    return [{"clean": each.clean, "common": each.common, "extra": each.extra} for each in found]


def _mean_metrics(means: Sequence[GroupMean | None]) -> dict[str, list[str]]:
    """Returns the cells of each metric of a group of corruptions; nothing if the set has none of them."""
    present = [mean for mean in means if mean is not None]
    if len(present) < len(means):
        return {}
    return {
        "error, %": [_interval(mean.error, mean.low, mean.high) for mean in present],
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
