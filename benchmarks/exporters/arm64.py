"""Whether an arm64 device answers as this x86 machine does: python benchmarks/exporters/arm64.py FOLDER [BUNDLE ...].

    sudo apt-get install qemu-user-static
    python benchmarks/exporters/arm64.py ~/arm64 --data cifar10:ROOT --json arm64.json

Makes an arm64 Python with the wheels of a device in FOLDER (450 MB, once; see arm64_machine.py), opens each bundle
there under qemu as a device does, and compares its answers with those of the same allweather here: to the golden
frames, to pictures of `--data`, and to frames of a camera. Last, the pixels that `prepare` and the views make.
Ends with 1 if an engine does not open, or answers a golden frame beyond the tolerance that the bundle gives.

qemu says what an arm64 device answers, not how fast it is.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from arm64_logits import comparable, name_of
from arm64_machine import ROOT, Arm64, prepare

from allweather.runtimes.bundle.bundle import Bundle
from allweather.runtimes.bundle.manifest import Model
from allweather.runtimes.errors import AllweatherError, EngineError, UsageError, first_line
from allweather.runtimes.system.atomic_files import atomic_file
from allweather.runtimes.types import Floats, Image
from allweather.trainers.data import signs

SAMPLE = ROOT / "samples/bundles/cifar10-resnet20"
ANSWERS = Path(__file__).with_name("arm64_logits.py")
FRAMES, EVERY, SEED = 6, 10, 3  # camera frames, a third of a second apart

Arrays = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Pictures:
    """Pictures of a bundle's size: uint8 [n, h, w, 3]; int64 [n] labels, None where the bundle has other classes."""

    images: Image
    labels: npt.NDArray[np.int64] | None


@dataclass(frozen=True)
class Row:
    """One model on arm64 beside x86; differences are of logits, or of a predictor's losses.

    Attributes:
        version: of the engine on arm64.
        other_version: of the engine on x86.
        refused: what the device says when it opens the model; empty if it opens.
        tolerance: of golden frames, by the bundle.
        golden_here: largest difference of x86 from what the bundle recorded.
        golden: largest difference of arm64 from it.
        largest: difference of arm64 from x86, over all pictures and outputs.
        mean: of the absolute differences.
        agreement: share of pictures whose best output is the same.
        right_here: share of pictures that x86 classifies right; None where nobody knows.
        right: the same on arm64.
        decisions: share of camera frames with the same label; None for a predictor.
        probability: largest difference of a probability in those decisions.
    """

    model: str
    version: str
    other_version: str
    refused: str
    tolerance: float
    golden_here: float
    golden: float
    largest: float
    mean: float
    agreement: float
    right_here: float | None
    right: float | None
    decisions: float | None
    probability: float | None

    @property
    def within(self) -> bool:
        """Whether every answer, also to pictures that are not golden, is as near as golden ones must be."""
        return not self.refused and self.golden <= self.tolerance and self.largest <= self.tolerance


@dataclass(frozen=True)
class Pixels:
    """One step on arm64 beside x86: share of pixels that differ, and the largest difference in gray levels."""

    step: str
    differ: float
    largest: int


@dataclass(frozen=True)
class Report:
    """All that was compared for one bundle."""

    bundle: str
    pictures: int
    x86: str
    arm64: str
    rows: tuple[Row, ...]
    pixels: tuple[Pixels, ...]


def row(bundle: Bundle, model: Model, labels: npt.NDArray[np.int64] | None, here: Arrays, there: Arrays) -> Row:
    """Compares one model.

    Raises:
        EngineError: its engine does not run on one of the two.
    """
    name = name_of(model)
    for arrays, machine in ((here, "x86"), (there, "arm64")):
        if f"golden/{name}" not in arrays:
            raise EngineError(f"{model.engine} does not run on {machine}: {arrays[f'refused/{name}']}")
    mine, theirs = here[f"pictures/{name}"], there[f"pictures/{name}"]
    needs_predictor = model.role == "predictor"
    best_here, best = (each.argmin(1) if needs_predictor else each.argmax(1) for each in (mine, theirs))
    known = None if needs_predictor else labels
    agreed, probability = None, None
    if not needs_predictor:
        decided, other = here[f"decisions/{name}"], there[f"decisions/{name}"]
        agreed = float((decided.argmax(1) == other.argmax(1)).mean())
        probability = float(np.abs(decided - other).max())
    return Row(
        model=name,
        version=str(there[f"version/{name}"]),
        other_version=str(here[f"version/{name}"]),
        refused=str(there[f"refused/{name}"]),
        tolerance=model.tolerance,
        golden_here=furthest(here[f"golden/{name}"], bundle.golden_outputs(model)),
        golden=furthest(there[f"golden/{name}"], bundle.golden_outputs(model)),
        largest=furthest(theirs, mine),
        mean=float(np.abs(theirs - mine).mean()),
        agreement=float((best == best_here).mean()),
        right_here=None if known is None else float((best_here == known).mean()),
        right=None if known is None else float((best == known).mean()),
        decisions=agreed,
        probability=probability,
    )


def furthest(one: Floats, other: Floats) -> float:
    """Largest absolute difference; nan where one is nan."""
    return float(np.abs(one.astype(np.float64) - other).max())


def compare_pixels(here: Arrays, there: Arrays) -> tuple[Pixels, ...]:
    """Compares what `prepare` and the views made."""
    found = []
    for step in [name for name in here if name.startswith(("prepare/", "view/"))]:
        difference = np.abs(here[step].astype(int) - there[step])
        found.append(Pixels(step, float(difference.any(-1).mean()), int(difference.max())))
    return tuple(found)


def compare(machine: Arm64, path: Path, data: str, count: int) -> Report:
    """Runs one bundle here and there."""
    bundle = Bundle.open(path)
    pictures = open_pictures(data, count, bundle)
    drive = signs.drive(SEED, FRAMES * EVERY)
    frames = np.stack([frame.image for frame in islice(drive, 0, None, EVERY)])
    with tempfile.TemporaryDirectory() as scratch:
        given, mine, theirs = (Path(scratch, f"{name}.npz") for name in ("given", "x86", "arm64"))
        np.savez(given, pictures=pictures.images, frames=frames)
        _run_here(machine, path, given, mine)
        machine.run(ANSWERS, path, given, theirs)
        with np.load(mine) as here, np.load(theirs) as there:
            found = (dict(here), dict(there))
    rows = tuple(row(bundle, model, pictures.labels, *found) for model in comparable(bundle))
    return Report(
        str(path), len(pictures.images), *(str(each["machine"]) for each in found), rows, compare_pixels(*found)
    )


def _run_here(machine: Arm64, *arguments: Path) -> None:
    """The same script and the same wheel on this machine, in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(machine.package)}
    command = [sys.executable, str(ANSWERS), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)  # noqa: S603 -- no shell
    if done.returncode:
        raise EngineError(f"x86 failed: {first_line(ValueError((done.stderr.strip().splitlines() or [''])[-1]))}")


def open_pictures(data: str, count: int, bundle: Bundle) -> Pictures:
    """The first test pictures of a data set, at the bundle's size."""
    side = bundle.input.height
    if data == "signs":  # not `open_dataset`, which draws all 18,000
        images, labels = signs.render("test", size=side, count=count)
        return Pictures(images, labels if bundle.classes == signs.CLASSES else None)
    from allweather.trainers.data.registry import open_dataset

    dataset = open_dataset(data, side)
    images, labels = dataset.test.images[:count].numpy(), dataset.test.labels[:count].numpy()
    return Pictures(images, labels if bundle.classes == dataset.classes else None)


def show(report: Report) -> None:
    """Prints one bundle's tables, in the form of docs/results."""
    print(f"{report.bundle}, {report.pictures} pictures\nx86:   {report.x86}\narm64: {report.arm64}\n")
    print(
        "| model | engine on arm64 / x86 | opens | tolerance | golden frames off by: x86 | arm64 | pictures off by: "
        "largest | mean | same best | right on x86 / arm64 | decisions: same label | probability off by | within |"
    )
    print("|---|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---|")  # fmt: skip
    for each in report.rows:
        right = "-" if each.right is None else f"{each.right_here:.3f} / {each.right:.3f}"
        decided = "- | -" if each.decisions is None else f"{each.decisions:.3f} | {each.probability:.2g}"
        print(
            f"| {each.model} | {each.version} / {each.other_version} | {each.refused or 'yes'} | {each.tolerance:.3g} "
            f"| {each.golden_here:.2g} | {each.golden:.2g} | {each.largest:.2g} | {each.mean:.2g} "
            f"| {each.agreement:.3f} | {right} | {decided} | {'yes' if each.within else 'NO'} |"
        )
    print("\n| step | pixels that differ, % | largest difference, gray levels |\n|---|---:|---:|")
    for step in report.pixels:
        print(f"| {step.step} | {100 * step.differ:.2f} | {step.largest} |")
    print(flush=True)


def main() -> int:
    """Prepares, compares every bundle, prints and writes; 1 if an engine did not open or a golden frame is off."""
    parser = argparse.ArgumentParser(description="Whether an arm64 device answers as this x86 machine does.")
    parser.add_argument("folder", type=Path, help="where the arm64 Python is, or will be made")
    parser.add_argument("bundles", type=Path, nargs="*", default=[SAMPLE], help="the sample bundle if none is named")
    parser.add_argument("--data", default="signs", help="signs, cifar10:ROOT, cifar100:ROOT or folder:ROOT")
    parser.add_argument("--pictures", type=int, default=40, help="how many of its test pictures")
    parser.add_argument("--json", type=Path, help="file for all figures")
    given = parser.parse_args()
    try:
        if platform.machine() != "x86_64" or given.pictures < 1:
            raise UsageError(
                f"this compares with x86_64, with 1 picture or more; got {platform.machine()}, {given.pictures}"
            )
        machine = prepare(given.folder, lambda text: print(text, file=sys.stderr, flush=True))
        reports = []
        for path in given.bundles:
            reports.append(compare(machine, path, given.data, given.pictures))
            show(reports[-1])
        if given.json:
            with atomic_file(given.json) as beside:
                beside.write_text(json.dumps([asdict(report) for report in reports], indent=1) + "\n")
    except AllweatherError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    rows = [each for report in reports for each in report.rows]
    return 0 if all(not each.refused and each.golden <= each.tolerance for each in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
