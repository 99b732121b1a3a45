"""Measures adaptation on the device's own stream: BatchNorm statistics that follow the last frames.

    python benchmarks/tta/adapted_statistics.py DATA FOLDER CHECKPOINT ... [--images 300]

Rivals: the same classifier with the statistics of its training. The share and the number of frames are chosen on
validation images in weather that stays. Then test images come as streams of several kinds: weather that stays while the
classes are mixed, or while one class follows the other; weather that changes every 50 frames, or with every frame; and
clean images. FOLDER gets a record for each CHECKPOINT and kind of stream, and a picture.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from stream_statistics import following, predictions, segments
from torch import Tensor, nn

sys.path.append(str(Path(__file__).resolve().parents[1] / "trainers"))
from run_records import load_record, new_record, save_record  # found by the line above
from studies import errors_in_one_line

from allweather.runtimes.system.memory import keep_freed_memory
from allweather.trainers.checkpoint.checkpoint_file import load_checkpoint
from allweather.trainers.corruptions import COMMON, CORRUPTIONS, EXTRA, SEVERITIES
from allweather.trainers.corruptions.sets import GeneratedSet
from allweather.trainers.data.dataset import LabeledImages
from allweather.trainers.data.registry import open_dataset_of
from allweather.trainers.training.launch import launch

SEED = 0
STUDY = "adapted-statistics"
SHARES, WINDOWS = (0.25, 0.5, 0.75), (20, 60, 240)
CHOICE_IMAGES = 100  # validation images for each corruption and severity
AS_TRAINED = "as trained"
STREAMS = {
    "weather stays": "classes are mixed",
    "weather stays, classes in turn": "all images of a class come one after the other",
    "weather changes every 50 frames": "classes are mixed",
    "weather changes with every frame": "classes are mixed",
}


@dataclass(frozen=True)
class Frames:
    """Corrupted images: for each corruption and severity the same clean images, and all clean ones.

    Attributes:
        images: uint8 [n, h, w, 3], cell after cell; cells are in the order of `CORRUPTIONS` and severities.
        labels: int64 [n].
        cell: int64 [n], index of the cell.
    """

    images: Tensor
    labels: Tensor
    cell: Tensor


def corrupted_frames(clean: LabeledImages, names: tuple[str, ...]) -> Frames:
    """Returns corrupted copies of the images, a cell for each corruption and severity."""
    generated = GeneratedSet(clean, SEED, names)
    cells = [
        torch.from_numpy(batch)
        for name in names
        for severity in SEVERITIES
        for batch in generated.batches(name, severity, len(clean))
    ]
    index = torch.arange(len(cells)).repeat_interleave(len(clean))
    return Frames(torch.cat(cells), clean.labels.repeat(len(cells)), index)


def order_of(stream: str, frames: Frames) -> Tensor:
    """Returns the order in which a kind of stream shows the frames."""
    generator = torch.Generator().manual_seed(SEED)
    mixed = torch.randperm(len(frames.cell), generator=generator)
    mixed = mixed[frames.cell[mixed].argsort(stable=True)]  # cell after cell
    if "in turn" in stream:
        mixed = mixed[frames.labels[mixed].argsort(stable=True)]
        return mixed[frames.cell[mixed].argsort(stable=True)]
    if "every 50" in stream:
        return mixed[torch.cat(list(segments(len(mixed), 50, generator)))]
    return mixed[torch.randperm(len(mixed), generator=generator)] if "every frame" in stream else mixed


def errors(predicted: Tensor, frames: Frames) -> dict[str, float]:
    """Returns the errors in percent over the 15 common and the 4 extra corruptions."""
    incorrect = 100 * (predicted != frames.labels).float()
    corruption = frames.cell // len(SEVERITIES)
    names = list(CORRUPTIONS)
    groups = {"common": COMMON, "extra": EXTRA}
    rows = {group: torch.tensor([names.index(each) for each in members]) for group, members in groups.items()}
    return {group: float(incorrect[torch.isin(corruption, each)].mean()) for group, each in rows.items()}


def chosen(model: nn.Module, val: LabeledImages) -> tuple[float, int]:
    """Returns the share and the number of frames with the lowest error on validation images in weather that stays."""
    frames = corrupted_frames(val, COMMON)
    order = order_of("weather stays", frames)
    found = {}
    for share in SHARES:
        for window in WINDOWS:
            predicted = predictions(following(model, share, window), frames.images, order)
            found[share, window] = float((predicted != frames.labels).float().mean())
            print(f"validation, share {share}, {window} frames: {100 * found[share, window]:.2f} %", flush=True)
    return min(found, key=found.__getitem__)


def clean_errors(model: nn.Module, share: float, window: int, clean: LabeledImages) -> dict[str, dict[str, float]]:
    """Returns the error in percent on clean images: as trained, and following them, mixed and class after class."""
    images, labels = clean.loaded().images, clean.labels
    mixed = torch.randperm(len(labels), generator=torch.Generator().manual_seed(SEED))
    orders = {"weather stays": mixed, "weather stays, classes in turn": mixed[labels[mixed].argsort(stable=True)]}
    error = {AS_TRAINED: {"clean": 100 * float((predictions(model, images, mixed) != labels).float().mean())}}
    for stream, order in orders.items():
        predicted = predictions(following(model, share, window), images, order)
        error[stream] = {"clean": 100 * float((predicted != labels).float().mean())}
    return error


def measure(
    model: nn.Module, test: LabeledImages, val: LabeledImages, clean: LabeledImages
) -> dict[str, dict[str, float]]:
    """Returns the errors for each kind of stream, with the settings that were chosen.

    Args:
        model: The classifier.
        test: Test images, which are corrupted.
        val: Validation images on which the settings are chosen.
        clean: Test images that stay clean.
    """
    share, window = chosen(model, val)
    frames = corrupted_frames(test, tuple(CORRUPTIONS))
    table = {AS_TRAINED: errors(predictions(model, frames.images, torch.arange(len(frames.cell))), frames)}
    for stream in STREAMS:
        table[stream] = errors(
            predictions(following(model, share, window), frames.images, order_of(stream, frames)), frames
        )
    for stream, error in clean_errors(model, share, window, clean).items():
        table[stream] |= error
    return {stream: {**each, "share": share, "frames": window} for stream, each in table.items()}


def plot(path: Path, tables: Mapping[str, Mapping[str, Mapping[str, float]]]) -> None:
    """Draws the error on the common corruptions for each kind of stream, a panel for each checkpoint."""
    figure, panels = plt.subplots(1, len(tables), figsize=(5.5 * len(tables), 3.2), sharey=True, squeeze=False)
    for panel, (name, table) in zip(panels[0], tables.items(), strict=True):
        values = [each["common"] for each in table.values()]
        panel.barh(list(table), values, color=["0.6", *["tab:blue"] * (len(table) - 1)])
        panel.axvline(values[0], color="0.3", linewidth=1, linestyle=":")
        for row, value in enumerate(values):
            panel.text(value, row, f" {value:.1f}", va="center", fontsize=8)
        panel.set(title=name, xlabel="error on the common 15 corruptions, %", xlim=(0, 1.15 * max(values)))
    panels[0][0].invert_yaxis()  # which the panels share
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main() -> None:
    """Measures what FOLDER has no record of, prints the errors and draws them."""
    keep_freed_memory()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("folder", type=Path)
    parser.add_argument("checkpoints", type=Path, nargs="+")
    parser.add_argument("--images", type=int, default=300, help="test images for each corruption and severity")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    fabric, tables = launch(), {}
    for path in args.checkpoints:
        start = load_checkpoint(path)
        data = open_dataset_of(args.data, start.classes, start.input)
        generator = torch.Generator().manual_seed(SEED)
        test, val = (
            split.take(torch.randperm(len(split), generator=generator)[:count])
            for split, count in ((data.test, args.images), (data.val, CHOICE_IMAGES))
        )
        paths = {
            name: args.folder / f"{path.stem}-{name.replace(',', '').replace(' ', '-')}.json"
            for name in (AS_TRAINED, *STREAMS)
        }
        if any(load_record(each) is None for each in paths.values()):
            facts = {"images": args.images, "data": args.data, "checkpoint": path.name}
            for name, results in measure(start.classifier().eval(), test, val, data.test).items():
                save_record(paths[name], new_record(STUDY, name, SEED, facts, results, fabric))
        records = {name: load_record(each) for name, each in paths.items()}
        tables[path.stem] = {name: record.results for name, record in records.items() if record}
        for name, each in tables[path.stem].items():
            print(f"{path.stem:22} {name:34}", {key: round(value, 2) for key, value in each.items()}, flush=True)
    plot(args.folder / f"{STUDY}.png", tables)


if __name__ == "__main__":
    with errors_in_one_line():
        main()
