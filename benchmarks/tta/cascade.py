"""Compares a cascade of two classifiers with the policies of either: error against the mean time of a frame.

    python benchmarks/tta/cascade.py DATA CORRUPTED FOLDER SMALL LARGE [--precision int8] [--engine openvino]

The bundle SMALL runs one view, the unchanged image or the view of the lowest predicted loss. Where the probability of
its label is below a threshold, the bundle LARGE runs the same view, and decides alone or by the average of both. Every
threshold is a point, so nothing is chosen. Errors are those of the clean test images and of the corrupted set in the
folder CORRUPTED. Times are means over frames on which all rivals decide in turn, each the shortest of three; that of a
cascade is the sum of its two calls, the second one counted as often as it is needed. FOLDER gets a record of each rival
and a picture.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

sys.path.append(str(Path(__file__).resolve().parents[1] / "trainers"))  # a script finds only what is beside it
from bigger_network import POLICIES, Rival, groups, mean_errors, milliseconds
from run_records import RunRecord, load_record, new_record, save_record
from studies import errors_in_one_line, open_study_folder

from allweather.reports.figure import png_figure
from allweather.runtimes.system.atomic_files import atomic_file
from allweather.runtimes.system.memory import keep_freed_memory
from allweather.runtimes.tta.views import IDENTITY, view
from allweather.runtimes.types import Floats, Image
from allweather.trainers.inference.open_model import BATCH_SIZE, EvaluatedModel, open_model
from allweather.trainers.training.launch import launch

FIRST_POLICIES = ("center", "top:1")  # of the small bundle
VOTES = ("alone", "average")  # of the large one, or of both
THRESHOLDS = (0.5, 0.7, 0.9, 0.95, 0.98, 0.995)
PANELS = {"clean": ("clean images", "clean ms"), "common": ("the 15 common corruptions", "corrupted ms")}
REPEATS = 3


def probabilities(model: EvaluatedModel, images: Image) -> Floats:
    """Returns the class probabilities of images, float32 [n, C]."""
    return torch.from_numpy(model.logits(images)).softmax(1).numpy()


def cascade_cells(
    small: EvaluatedModel, large: EvaluatedModel, images: Image, labels: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Returns the error of every cascade, and the share of images that its large bundle runs on.

    Returns:
        float64 [2, first policies, votes, thresholds], both in 0..1.
    """
    assert small.predict_losses
    found = np.zeros((2, len(FIRST_POLICIES), len(VOTES), len(THRESHOLDS)))
    for part in (slice(first, first + BATCH_SIZE) for first in range(0, len(images), BATCH_SIZE)):
        batch, truth = images[part], labels[part]
        lowest = small.predict_losses(batch).argmin(1)
        best = [view(small.predictor_views[index]).apply(image) for index, image in zip(lowest, batch, strict=True)]
        plain = [view(IDENTITY.name).apply(image) for image in batch]
        for row, seen in enumerate((np.stack(plain), np.stack(best))):
            first, second = probabilities(small, seen), probabilities(large, seen)
            asked = first.max(1)[:, None] < THRESHOLDS
            for column, vote in enumerate((second, first + second)):
                labels_of_both = np.where(asked, vote.argmax(1)[:, None], first.argmax(1)[:, None])
                found[0, row, column] += (labels_of_both != truth[:, None]).sum(0)
                found[1, row, column] += asked.sum(0)
    return found / len(images)


def measured(args: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Returns the errors in percent and the milliseconds of all policies and cascades, by name."""
    bundles = args.small, args.large
    rivals = [Rival(bundle, args.precision, policy) for bundle in bundles for policy in POLICIES]
    times = milliseconds(rivals, args, repeats=REPEATS, average=np.mean)
    found: dict[str, dict[str, float]] = {name: dict(each) for name, each in times.items()}
    second = times[Rival(args.large, args.precision, "center").name]
    with ExitStack() as stack:
        small, large = (
            stack.enter_context(open_model(each, engine=args.engine, precision=args.precision)) for each in bundles
        )
        for group, cells in groups(small, args):
            for opened, own in ((small, rivals[: len(POLICIES)]), (large, rivals[len(POLICIES) :])):
                for rival, error in zip(own, mean_errors(opened, POLICIES, cells()), strict=True):
                    found[rival.name][group] = error
            errors, shares = np.mean([cascade_cells(small, large, *cell) for cell in cells()], 0)
            for place in np.ndindex(errors.shape):
                policy, vote, threshold = (
                    each[index] for each, index in zip((FIRST_POLICIES, VOTES, THRESHOLDS), place, strict=True)
                )
                row = found.setdefault(f"cascade {policy}, {vote}, {threshold:g}", {})
                row[group], row[f"{group} asked"] = 100 * float(errors[place]), 100 * float(shares[place])
                kind = "clean ms" if group == "clean" else "corrupted ms"
                if group != "extra":  # the frames that are timed have all the corruptions
                    first = times[Rival(args.small, args.precision, policy).name]
                    row[kind] = first[kind] + float(shares[place]) * second[kind]
    return found


def picture(records: Sequence[RunRecord], bundles: Sequence[Path]) -> bytes:
    """Draws error against mean time: points for the policies of each bundle, a line for each cascade."""
    with png_figure(11, 4.6) as (figure, png):
        for column, (group, (title, kind)) in enumerate(PANELS.items()):
            axes = figure.add_subplot(1, len(PANELS), column + 1)
            for index, (bundle, marker) in enumerate(zip(bundles, "os", strict=True)):
                own = [each.results for each in records if each.settings.get("bundle") == bundle.name]
                label = f"policies of {bundle.name}"
                axes.plot(
                    [each[kind] for each in own], [each[group] for each in own], marker, color=f"C{index}", label=label
                )
            cascades = {(each.settings["policy"], each.settings["vote"]) for each in records if "vote" in each.settings}
            for index, (policy, vote) in enumerate(sorted(map(tuple, cascades))):
                own = [each.results for each in records if each.row.startswith(f"cascade {policy}, {vote},")]
                axes.plot(
                    [each[kind] for each in own], [each[group] for each in own], ("-", "--", ":", "-.")[index],
                    color="0.3", label=f"cascade from {policy}, {vote}",
                )  # fmt: skip
            axes.set(xlabel="mean time of a frame, ms", ylabel="error, %", title=title)
            axes.legend(fontsize=7)
    return png.getvalue()


def main() -> None:
    """Measures what has no record, prints it and draws the picture."""
    keep_freed_memory()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("corrupted", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("small", type=Path)
    parser.add_argument("large", type=Path)
    parser.add_argument("--precision", default="int8")
    parser.add_argument("--engine", default="openvino")
    parser.add_argument("--clean", type=int, default=10000, help="clean test images")
    parser.add_argument("--frames", type=int, default=200, help="frames that are timed, of each kind")
    args = parser.parse_args()
    open_study_folder(args.folder, **{name: value for name, value in vars(args).items() if name != "folder"})
    kept = args.folder / "records"
    kept.mkdir(exist_ok=True)
    if not any(kept.iterdir()):
        fabric = launch()
        for name, results in measured(args).items():
            if name.startswith("cascade "):
                policy, vote, threshold = name.removeprefix("cascade ").split(", ")
                facts: dict[str, object] = {"policy": policy, "vote": vote, "threshold": float(threshold)}
            else:
                bundle, precision, policy = name.split(" ")
                facts = {"bundle": bundle, "precision": precision, "policy": policy}
            record = new_record("cascade", name, 0, facts, results, fabric)
            save_record(kept / f"{name.replace(' ', '-').replace(':', '').replace(',', '')}.json", record)
    records = [record for each in sorted(kept.iterdir()) if (record := load_record(each))]
    for record in records:
        print(f"{record.row:40}", {key: round(value, 2) for key, value in record.results.items()})
    with atomic_file(args.folder / "cascade.png") as temporary:
        temporary.write_bytes(picture(records, (args.small, args.large)))


if __name__ == "__main__":
    with errors_in_one_line():
        main()
