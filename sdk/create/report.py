"""The report of a bundle that was created: the systems compared, their reliability, the parity of its models."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import yaml

from allweather.create.comparison import CLEAN, GROUPS, MEAN, TTA, Comparison, SystemResult
from allweather.create.config import CreateConfig
from allweather.create.plots import family_bars, reliability_curves
from allweather.evaluation.error_rate import ErrorRate
from allweather.journey import Stage
from allweather.reports import plots
from allweather.reports.corrupted import corruptions_measured
from allweather.reports.html import Section, page, write_files
from allweather.reports.reading import Origin, origin_section, section_in_markdown
from allweather.runtimes.bundle.bundle import Bundle
from allweather.runtimes.markdown import markdown, markdown_page, markdown_table
from allweather.runtimes.text import to_json
from allweather.trainers.corruptions import COMMON, EXTRA
from allweather.trainers.data.shards.patterns import shown

Row = tuple[str, ...]
HIDDEN = "# *** stands for a part of the URL that may be secret; --data with the whole URL replaces the key data\n"
ARROW = "\u202f→\u202f"  # with spaces that break no line
TITLES = {MEAN: "common 15", "extra": "extra 4"}
HOW_TO_READ = (
    "Share of test images that are classified incorrectly, with 95 % intervals (bootstrap over images). Common 15 is "
    "the mean over fifteen kinds of corruption at five severities; noise, blur, weather and digital are its families, "
    "extra 4 is four other kinds. The calibration error is that over all corrupted images. ms is the time of a "
    "decision, median and 95th percentile. TTA is test-time augmentation: several views of each image, whose "
    "outputs are averaged."
)
MODELS = (
    "What the parity gate of the export measured, on the validation images and not on the test images of the table "
    "above: accuracy on clean and on corrupted ones, and how often a compiled model predicts the same class as the "
    "network that it was made from. The time is that of the fastest call, of the model alone."
)
RELIABILITY = (
    "Accuracy of the predictions of each confidence; on the line, a system is right as often as it says. Bins with "
    "fewer than 20 images are left out."
)
WHAT_WAS_SEEN = (
    "What was seen before: finetuning, if there is any, augments training images with brightness, saturation, blur and "
    "noise; the policy, and the loss predictor if there is one, were fitted to the 15 common corruptions of training "
    "and validation images. None of the stages has seen the extra 4, or a test image."
)


@dataclass(frozen=True)
class Created:
    """What the report is about.

    Attributes:
        out: The bundle that was written.
        bundles: The bundles of the comparison by a name for them.
        comparison: Result of the comparison.
        examples: PNG of its examples; None without any.
        notes: Sentences of the stages, in their order.
        stages: The stages and their times.
        config: The configuration with all defaults.
        origin: What made the report; None for a program that called allweather.
    """

    out: Path
    bundles: Mapping[str, Path]
    comparison: Comparison
    examples: bytes | None
    notes: Sequence[str]
    stages: Sequence[Stage]
    config: CreateConfig
    origin: Origin | None = None


def write_create_report(created: Created, folder: Path) -> None:
    """Writes report.html, report.md, result.json, create.yaml (the settings with all defaults), and the plots.

    Raises:
        OutputError: The folder cannot be written to.
    """
    compared = created.comparison
    systems = distinct_systems(compared.systems)
    summary, parity, stages = summary_table(systems), parity_table(created.bundles), _stage_table(created.stages)
    made = origin_section(created.origin)
    reading = f"{HOW_TO_READ} {corruptions_measured(list(systems[0].by_severity), compared.images)}"
    told = [f"{note[0].upper()}{note[1:]}." for note in dict.fromkeys(created.notes)]
    sections = [
        Section("Result", reading, summary, image="families.png", alt=_in_words(systems)),
        Section("What the comparison can tell", " ".join([*_changes(compared.systems), WHAT_WAS_SEEN])),
        Section("Error by corruption and severity, %", image="errors.png"),
        Section("Reliability on corrupted images", RELIABILITY, image="reliability.png"),
    ]
    files: dict[str, bytes | str] = {
        "families.png": family_bars(systems, TITLES),
        "reliability.png": reliability_curves(systems),
        "errors.png": plots.error_heatmap(
            [each.by_severity for each in systems], [each.name for each in systems], (COMMON, EXTRA)
        ),
        "result.json": json.dumps(to_json({"comparison": compared, "stages": _seconds(created.stages)}), indent=1),
        "create.yaml": _yaml_to_share(created.config),
    }
    if created.examples:
        text = (
            "Of each corruption at severity 3, an image that either the first or the last system classifies correctly."
        )
        sections.append(Section("Example images", text, image="examples.png"))
        files["examples.png"] = created.examples
    sections += [
        *([Section("What the stages say", table=[("note",), *((note,) for note in told)])] if told else []),
        Section("The models in the bundle", MODELS, parity),
        Section("Stages", "Seconds of this run; what was kept was made by an earlier one.", stages),
        made,
    ]
    title = f"{created.out.name}: {', '.join(each.name for each in systems)}"
    lead = f"{compared.data}: {compared.images} images in each cell, {compared.corrupted}; {compared.machine}"
    files["report.html"] = page(title, lead, sections, _figures(systems))
    notes = [f"- {markdown(note)}" for note in (*_changes(compared.systems), *told)]
    files["report.md"] = markdown_page(
        title, lead, markdown_table(summary), [reading, "", WHAT_WAS_SEEN], notes, [MODELS], markdown_table(parity),
        ["![Error by family](families.png)"], markdown_table(stages), section_in_markdown(made),
    )  # fmt: skip
    write_files(folder, files)


def _yaml_to_share(config: CreateConfig) -> str:
    """Returns the same as `settings_yaml` without the password of a URL, as a report is passed on."""
    if config.data is None or "://" not in config.data:
        return settings_yaml(config)
    hidden = config.model_copy(update={"data": shown(config.data)})
    return f"{HIDDEN if hidden.data != config.data else ''}{settings_yaml(hidden)}"


def settings_yaml(config: CreateConfig) -> str:
    """Returns a configuration with all of its values as YAML that `--config` reads."""
    return str(yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True))


def distinct_systems(systems: Sequence[SystemResult]) -> list[SystemResult]:
    """Returns the systems without one whose policy is the one view of the system before: it would be shown twice."""
    return [*systems[:1], *(other for one, other in pairwise(systems) if not _is_the_same(one, other))]


def _is_the_same(one: SystemResult, other: SystemResult) -> bool:
    return other.name == f"{one.name}{TTA}" and (other.policy, other.errors) == (one.policy, one.errors)


def summary_table(systems: Sequence[SystemResult]) -> list[Row]:
    """Returns a table with a column for each system."""
    rows: list[Row] = [("", *(each.name for each in systems))]
    for group in GROUPS:
        if group in systems[0].errors:
            title = f"{TITLES.get(group, group)}: error, %"
            rows.append((title, *(_interval(each.errors[group]) for each in systems)))
    rows.append(("calibration error, %", *(f"{100 * each.calibration_error:.1f}" for each in systems)))
    rows.append(("views, clean / corrupted", *(f"{each.views[0]:.2f} / {each.views[1]:.2f}" for each in systems)))
    milliseconds = (f"{each.milliseconds[0]:.2f} / {each.milliseconds[1]:.2f}" for each in systems)
    rows.append(("ms, median / 95 %", *milliseconds))
    rows.append(("policy", *(each.policy for each in systems)))
    rows.append(("engine", *(each.backend for each in systems)))
    return rows


def parity_table(bundles: Mapping[str, Path]) -> list[Row]:
    """Returns a table of the compiled models, those of each bundle below the model that they were made from."""
    rows: list[Row] = [("model", "accuracy, clean", "accuracy, corrupted", "same prediction", "ms per image")]
    for name, path in bundles.items():
        manifest = Bundle.open(path).manifest
        for role in ("classifier", "predictor"):
            models = [model for model in manifest.models if model.role == role]
            if models and role == "classifier":
                parity = models[0].parity
                original = (parity.reference_accuracy, parity.reference_corrupted_accuracy)
                rows.append((f"{name}: original", *map(_percent, original), "", ""))
            for model in models:
                shares = (model.parity.accuracy, model.parity.corrupted_accuracy, model.parity.agreement)
                milliseconds = f"{1000 * model.seconds[0]:.2f}" if model.seconds else ""
                title = f"{name}: {'loss predictor ' if role == 'predictor' else ''}{model.engine} {model.precision}"
                rows.append((title, *map(_percent, shares), milliseconds))
    return rows


def _figures(systems: Sequence[SystemResult]) -> list[tuple[str, str]]:
    """Returns the numbers that matter most."""
    figures = []
    for group, name in ((MEAN, "% of corrupted images wrong"), (CLEAN, "% of clean images wrong")):
        if group in systems[0].errors:
            shares = ARROW.join(f"{100 * each.errors[group].value:.1f}" for each in systems)
            figures.append((shares, name))
    shown = ARROW.join(f"{each.milliseconds[0]:.1f}" for each in systems)
    return [*figures, (shown, "ms for a decision, median")]


def _changes(systems: Sequence[SystemResult]) -> list[str]:
    """Says of each system what it gains over the one before, and whether that may be chance."""
    lines = []
    for one, other in pairwise(systems):
        if _is_the_same(one, other):
            lines.append(
                f"{other.name} is the same as {one.name}, and not shown: no policy was better than one view beyond "
                "chance."
            )
        elif other.change is not None:
            change, low, high = (100 * each for each in (other.change.value, other.change.low, other.change.high))
            chance = "; this may be chance" if low <= 0 <= high else ""
            lines.append(
                f"On the common corruptions the error of {other.name} is {abs(change):.1f} points "
                f"{'lower' if change < 0 else 'higher'} than that of {one.name} (a change of {low:+.1f} to {high:+.1f} "
                f"points, paired, at 95 %){chance}."
            )
    return lines


def _in_words(systems: Sequence[SystemResult]) -> str:
    errors = (f"{each.name} {_interval(each.errors[group])}" for group in (MEAN, CLEAN) for each in systems
              if group in each.errors)  # fmt: skip
    return f"Error in percent on the common corruptions, then on clean images: {', '.join(errors)}."


def _stage_table(stages: Sequence[Stage]) -> list[Row]:
    rows = [(each.name, f"{each.seconds:.0f}" if each.state == "done" else each.state, each.result) for each in stages]
    return [("stage", "seconds", "result"), *rows]


def _seconds(stages: Sequence[Stage]) -> dict[str, float]:
    return {stage.name: stage.seconds for stage in stages}


def _interval(error: ErrorRate) -> str:
    return f"{100 * error.value:.1f} ({100 * error.low:.1f} to {100 * error.high:.1f})"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f} %"
