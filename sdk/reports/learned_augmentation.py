"""The report of a learned augmentation: what it does to images, and how it was learned."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from allweather.reports.html import Section, page, write_files
from allweather.reports.image_grids import image_columns, image_rows
from allweather.reports.reading import Origin, origin_section, reading_section
from allweather.runtimes.system.path_argument import as_path
from allweather.runtimes.text import to_json
from allweather.trainers.augmentations.learned.augmentation import AugmentationCheckpoint
from allweather.trainers.augmentations.learned.networks import STAGE_HEADS, Head
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.methods.learned_augmentation.visualize import latent_traversal, sample_augmentations

SETTINGS = (
    "arch",
    "aim",
    "held_out",
    "classifiers",
    "grid",
    "color_limit",
    "damping",
    "gan_epochs",
    "epochs",
)  # settings of the run that the report shows, if the file has them
READING = (
    "The images are a few of the validation images, and show what the augmentation does, not whether it helps: for "
    "that, train with it and without it, and evaluate both. The influence is a prediction of how the loss on the "
    "held-out images would change. The split-half correlation tells how far two halves of these agree on it: near 1 "
    "they do, near 0 what was learned is mostly chance. No intervals are shown."
)
ROW_NOTES: Mapping[Head, str] = {
    "spatial": "Row warp: the hue is the direction that a pixel is taken from, the saturation the distance.",
    "appearance": "Row colors: what is added to the colors, around gray.",
}


def write_augmentation_report(
    augmentation: AugmentationCheckpoint, dataset: Dataset, folder: Path | str, origin: Origin | None = None
) -> None:
    """Writes report.html, result.json, samples.png and latent-traversal.png.

    Args:
        augmentation: The learned augmentation.
        dataset: A data set; some of its validation images are augmented.
        folder: Folder to write into.
        origin: Which run made it; None for a program that called allweather.

    Raises:
        CheckpointError: The augmentation network cannot be built.
        OutputError: The folder cannot be written to.
    """
    folder = as_path(folder)
    network, heads = augmentation.network(), {head for part in STAGE_HEADS[augmentation.mode] for head in part}
    facts = asdict(augmentation)
    facts.pop("weights")
    sections = [
        Section(
            "Samples",
            "The first column shows the unchanged images; each further column is a draw of the dropout on the code, as "
            "in training.",
            image="samples.png",
        ),
        Section(
            "Latent traversal",
            " ".join(
                ["One image with ten codes on the line from one draw to another."]
                + [text for head, text in ROW_NOTES.items() if head in heads]
            ),
            image="latent-traversal.png",
        ),
        Section("Training", table=_training_table(augmentation)),
        reading_section(READING),
        origin_section(origin),
    ]
    lead = f"{augmentation.mode} augmentation learned on {augmentation.data}, applied to images of {dataset.name}"
    files: dict[str, bytes | str] = {
        "samples.png": image_columns(sample_augmentations(network, dataset.val)),
        "latent-traversal.png": image_rows(latent_traversal(network, dataset.val)),
        "result.json": json.dumps(to_json(facts), indent=1),
        "report.html": page("Learned augmentation", lead, sections),
    }
    write_files(folder, files)


def _training_table(augmentation: AugmentationCheckpoint) -> Sequence[Sequence[str]]:
    settings, metrics = augmentation.settings, augmentation.metrics
    rows: list[Sequence[str]] = [("setting or metric", "value")]
    rows += [(name.replace("_", " "), str(settings[name])) for name in SETTINGS if name in settings]
    if "improved_share" in metrics:
        rows.append(("images whose influence the augmentation lowers", f"{100 * metrics['improved_share']:.1f} %"))
        rows.append(("mean decrease of the influence, in standard deviations", f"{metrics['gain']:.2f}"))
    if "split_half_correlation" in metrics:
        rows.append(("held-out images", f"{metrics['held_out_images']:.0f}"))
        rows.append(("split-half correlation of the influence", f"{metrics['split_half_correlation']:.2f}"))
    return rows
