"""The hidden folder beside an augmentation that is being learned: finished stages, and the one that is running."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

from allweather.runtimes.errors import TrainingError
from allweather.runtimes.system.atomic_files import atomic_file
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.methods.learned_augmentation.settings import LearnAugmentationSettings

RUN_FILE = "run.json"  # identifies the run that the folder belongs to
GAN_FILE = "gan.safetensors"


def classifier_file(index: int) -> str:
    """Returns the file name of a classifier, from 0."""
    return f"classifier-{index + 1}.safetensors"


def influence_file(settings: LearnAugmentationSettings) -> str:
    """Returns the file name of the last stage, whose result alone depends on aim, damping, classifiers and epochs."""
    return f"influence-{settings.aim}-{settings.damping}-{settings.classifiers}-{settings.epochs}.safetensors"


def open_stage_folder(out: Path, arch: str, dataset: Dataset, settings: LearnAugmentationSettings) -> Path:
    """Returns the folder of the stages for `out`; makes it if there is none.

    Args:
        out: The augmentation to write.
        arch: Architecture of the classifier.
        dataset: The data.
        settings: Settings of the run; another aim, damping, number of classifiers or of epochs may continue from the
            same folder.

    Raises:
        TrainingError: The folder belongs to another run.
        OutputError: The folder cannot be written.
    """
    folder = out.with_name(f".{out.name}.stages")
    resume_key = {
        "arch": arch,
        "data": [dataset.name, len(dataset.train), dataset.fingerprint()],
        "mode": settings.mode,
        "grid": settings.grid,
        "color_limit": settings.color_limit,
        "gan_epochs": settings.gan_epochs,
        "held_out": settings.held_out,
        "classifier": dataclasses.asdict(settings.classifier),
    }
    path, text = folder / RUN_FILE, json.dumps(resume_key, sort_keys=True)
    if path.is_file():
        if path.read_text() != text:
            raise TrainingError(
                f"{folder} holds an unfinished run with other settings or data; finish that run with the same ones, "
                "or delete the folder to start over"
            )
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as temporary:
        temporary.write_text(text)
    return folder


def remove_stage_folder(folder: Path) -> None:
    """Removes the folder. The file that identifies the run is removed last.

    If the process is killed before that, another run does not take the remaining files for its own.
    """
    for path in folder.iterdir():
        if path.name != RUN_FILE:
            path.unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
