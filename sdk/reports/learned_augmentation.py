"""The report of a learned augmentation: what it does to pictures, and how it was learned."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from allweather.reports.html import Section, page, write
from allweather.reports.plots import augmentations, named_rows
from allweather.trainers.augmentations.learned.augmentation import AugmentationCheckpoint
from allweather.trainers.augmentations.learned.networks import STAGE_HEADS, Head
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.methods.learned_augmentation.visualize import latent_traversal, sample_augmentations

SHOWN = ("arch", "aim", "damping", "epochs")  # of the settings, where a file tells them
MAPS: Mapping[Head, str] = {
    "spatial": "Warp: hue is the direction that a pixel is taken from, saturation how far away.",
    "appearance": "Colors: what is added, around gray.",
}


def write_augmentation(made: AugmentationCheckpoint, dataset: Dataset, folder: Path) -> None:
    """Writes report.html, result.json, diverse.png and interpolated.png.

    Args:
        made: the augmentation.
        dataset: its validation pictures are shown.
        folder: to write into.

    Raises:
        CheckpointError: the augmentation cannot be built.
        OutputError: the place cannot be written to.
    """
    network, heads = made.network(), {head for part in STAGE_HEADS[made.mode] for head in part}
    facts = asdict(made)
    facts.pop("weights")
    sections = [
        Section(
            "The same picture, again and again",
            "Each column is a draw of the dropout on the code, as in training.",
            picture="diverse.png",
        ),
        Section(
            "From one draw to another",
            " ".join(["Ten codes on a line.", *(text for head, text in MAPS.items() if head in heads)]),
            picture="interpolated.png",
        ),
        Section("How it was learned", table=_facts(made)),
    ]
    lead = f"{made.mode} augmentation learned on {made.data}, shown on {dataset.name}"
    files: dict[str, bytes | str] = {
        "diverse.png": augmentations(sample_augmentations(network, dataset.val)),
        "interpolated.png": named_rows(latent_traversal(network, dataset.val)),
        "result.json": json.dumps(facts, indent=1),
        "report.html": page("Learned augmentation", lead, sections),
    }
    write(folder, files)


def _facts(made: AugmentationCheckpoint) -> Sequence[Sequence[str]]:
    rows: list[Sequence[str]] = [("", "")]
    rows += [(name.replace("_", " "), str(made.settings[name])) for name in SHOWN if name in made.settings]
    if "improved_share" in made.metrics:
        rows.append(("pictures it helps by influence", f"{100 * made.metrics['improved_share']:.1f} %"))
        rows.append(("fall of the influence, in its deviations", f"{made.metrics['gain']:.2f}"))
    return rows
