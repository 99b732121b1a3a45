"""Compares a bundle's outputs on an emulated arm64 device with those on this x86 machine.

    sudo apt-get install qemu-user-static
    python benchmarks/exporters/arm64.py FOLDER [BUNDLE ...] --data cifar10:ROOT --json arm64.json

FOLDER gets an arm64 Python with the wheels of a device (450 MB, once; see arm64_machine.py). There each bundle is
opened under qemu as a device opens it. Compared with the same allweather on x86 are the outputs for the golden frames
and for test images of `--data`, the decisions on frames of a camera, and the pixels that `InputSpec.prepare` and the
views compute. The exit status is 1 if an engine cannot open a model, or if its golden outputs differ by more than the
tolerance that the bundle records.

There is no rival: both sides are allweather. qemu shows what an arm64 device computes, not how fast it is.
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
LOGITS_SCRIPT = Path(__file__).with_name("arm64_logits.py")
CAMERA_FRAMES, FRAME_STEP, SEED = 6, 10, 3  # every tenth frame is a third of a second after the one before

Arrays = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class LabeledImages:
    """Test images at the size that a bundle takes.

    Attributes:
        images: uint8 [n, h, w, 3], RGB.
        labels: Class indices, int64 [n]; None if the bundle has other classes than the data set.
    """

    images: Image
    labels: npt.NDArray[np.int64] | None


@dataclass(frozen=True)
class Row:
    """Comparison of one model on arm64 and on x86. Differences are absolute, of logits or of predicted losses.

    Attributes:
        model: Role, engine and precision of the model.
        version_arm64: Version of the engine on arm64.
        version_x86: Version of the engine on x86.
        error: Error message of the device when it opens the model; "" if it opens.
        tolerance: Largest difference from the golden outputs that the bundle allows.
        golden_difference_x86: Largest difference of x86 from the golden outputs.
        golden_difference_arm64: Largest difference of arm64 from the golden outputs.
        max_difference: Largest difference between arm64 and x86, over all test images and outputs.
        mean_difference: Mean difference between arm64 and x86.
        agreement: Share of test images with the same predicted class, or with the same view of the lowest loss.
        accuracy_x86: Accuracy on x86; None for a predictor, or if the labels do not fit the bundle.
        accuracy_arm64: Accuracy on arm64, likewise.
        same_labels: Share of camera frames whose decisions have the same label; None for a predictor.
        probability_difference: Largest difference of a probability in those decisions; None for a predictor.
    """

    model: str
    version_arm64: str
    version_x86: str
    error: str
    tolerance: float
    golden_difference_x86: float
    golden_difference_arm64: float
    max_difference: float
    mean_difference: float
    agreement: float
    accuracy_x86: float | None
    accuracy_arm64: float | None
    same_labels: float | None
    probability_difference: float | None

    @property
    def opens(self) -> bool:
        """Whether the device opens the model, and its golden outputs are within the tolerance."""
        return not self.error and self.golden_difference_arm64 <= self.tolerance

    @property
    def within_tolerance(self) -> bool:
        """Whether the outputs for all test images, too, are within the tolerance of the golden outputs."""
        return self.opens and self.max_difference <= self.tolerance


@dataclass(frozen=True)
class Pixels:
    """Comparison of the pixels that one step of the preprocessing computes.

    Attributes:
        step: Name of the step.
        share: Share of pixels that differ.
        max_difference: Largest difference in gray levels.
    """

    step: str
    share: float
    max_difference: int


@dataclass(frozen=True)
class Report:
    """Comparison of one bundle.

    Attributes:
        bundle: Path of the bundle.
        images: Number of test images.
        x86: Description of this machine.
        arm64: Description of the emulated machine.
        rows: One for each model.
        pixels: One for each step of the preprocessing.
    """

    bundle: str
    images: int
    x86: str
    arm64: str
    rows: tuple[Row, ...]
    pixels: tuple[Pixels, ...]


def compare_model(
    bundle: Bundle, model: Model, labels: npt.NDArray[np.int64] | None, x86: Arrays, arm64: Arrays
) -> Row:
    """Compares one model.

    Raises:
        EngineError: Its engine does not run on one of the two machines.
    """
    name = name_of(model)
    for arrays, machine in ((x86, "x86"), (arm64, "arm64")):
        if f"golden/{name}" not in arrays:
            raise EngineError(f"{model.engine} does not run on {machine}: {arrays[f'error/{name}']}")
    outputs_x86, outputs_arm64 = x86[f"images/{name}"], arm64[f"images/{name}"]
    is_predictor = model.role == "predictor"
    best_x86, best_arm64 = (
        outputs.argmin(1) if is_predictor else outputs.argmax(1) for outputs in (outputs_x86, outputs_arm64)
    )
    known = None if is_predictor else labels
    same_labels, probability_difference = None, None
    if not is_predictor:
        decided_x86, decided_arm64 = x86[f"decisions/{name}"], arm64[f"decisions/{name}"]
        same_labels = float((decided_x86.argmax(1) == decided_arm64.argmax(1)).mean())
        probability_difference = float(np.abs(decided_x86 - decided_arm64).max())
    golden = bundle.golden_outputs(model)
    return Row(
        model=name,
        version_arm64=str(arm64[f"version/{name}"]),
        version_x86=str(x86[f"version/{name}"]),
        error=str(arm64[f"error/{name}"]),
        tolerance=model.tolerance,
        golden_difference_x86=max_difference(x86[f"golden/{name}"], golden),
        golden_difference_arm64=max_difference(arm64[f"golden/{name}"], golden),
        max_difference=max_difference(outputs_arm64, outputs_x86),
        mean_difference=float(np.abs(outputs_arm64 - outputs_x86).mean()),
        agreement=float((best_arm64 == best_x86).mean()),
        accuracy_x86=None if known is None else float((best_x86 == known).mean()),
        accuracy_arm64=None if known is None else float((best_arm64 == known).mean()),
        same_labels=same_labels,
        probability_difference=probability_difference,
    )


def max_difference(one: Floats, other: Floats) -> float:
    """Returns the largest absolute difference; nan if one value is nan."""
    return float(np.abs(one.astype(np.float64) - other).max())


def compare_pixels(x86: Arrays, arm64: Arrays) -> tuple[Pixels, ...]:
    """Compares the pixels that `InputSpec.prepare` and the views computed."""
    compared = []
    for step in [name for name in x86 if name.startswith(("prepare/", "view/"))]:
        difference = np.abs(x86[step].astype(int) - arm64[step])
        compared.append(Pixels(step, float(difference.any(-1).mean()), int(difference.max())))
    return tuple(compared)


def compare(machine: Arm64, path: Path, data: str, count: int) -> Report:
    """Runs one bundle on both machines and compares the results."""
    bundle = Bundle.open(path)
    test = open_images(data, count, bundle)
    drive = signs.render_drive(SEED, CAMERA_FRAMES * FRAME_STEP)
    frames = np.stack([frame.image for frame in islice(drive, 0, None, FRAME_STEP)])
    with tempfile.TemporaryDirectory() as scratch:
        inputs, out_x86, out_arm64 = (Path(scratch, f"{name}.npz") for name in ("inputs", "x86", "arm64"))
        np.savez(inputs, images=test.images, frames=frames)
        _run_on_x86(machine, path, inputs, out_x86)
        machine.run(LOGITS_SCRIPT, path, inputs, out_arm64)
        with np.load(out_x86) as x86, np.load(out_arm64) as arm64:
            arrays = (dict(x86), dict(arm64))
    rows = tuple(compare_model(bundle, model, test.labels, *arrays) for model in comparable(bundle))
    machines = (str(each["machine"]) for each in arrays)
    return Report(str(path), len(test.images), *machines, rows, compare_pixels(*arrays))


def _run_on_x86(machine: Arm64, *arguments: Path) -> None:
    """Runs the same script with the same wheel on this machine, in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(machine.package)}
    command = [sys.executable, str(LOGITS_SCRIPT), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)  # noqa: S603 -- no shell
    if done.returncode:
        raise EngineError(f"x86 failed: {first_line(ValueError((done.stderr.strip().splitlines() or [''])[-1]))}")


def open_images(data: str, count: int, bundle: Bundle) -> LabeledImages:
    """Returns the first test images of a data set, at the size that the bundle takes."""
    size = bundle.input.height
    if data == "signs":  # `open_dataset` would draw all 18,000
        images, labels = signs.render_signs("test", size=size, count=count)
        return LabeledImages(images, labels if bundle.classes == signs.CLASSES else None)
    from allweather.trainers.data.registry import open_dataset

    dataset = open_dataset(data, size)
    images, labels = dataset.test.images[:count].numpy(), dataset.test.labels[:count].numpy()
    return LabeledImages(images, labels if bundle.classes == dataset.classes else None)


def show(report: Report) -> None:
    """Prints one bundle's tables, in the form of docs/results."""
    print(f"{report.bundle}, {report.images} images\nx86:   {report.x86}\narm64: {report.arm64}\n")
    print(
        "| model | engine on arm64 / x86 | opens | tolerance | golden outputs, max difference: x86 | arm64 "
        "| test images, arm64 minus x86: max | mean | agreement | accuracy x86 / arm64 | decisions: same label "
        "| probability, max difference | within tolerance |"
    )
    print("|---|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---|")
    for row in report.rows:
        accuracy = "-" if row.accuracy_arm64 is None else f"{row.accuracy_x86:.3f} / {row.accuracy_arm64:.3f}"
        decisions = "- | -" if row.same_labels is None else f"{row.same_labels:.3f} | {row.probability_difference:.2g}"
        print(
            f"| {row.model} | {row.version_arm64} / {row.version_x86} | {row.error or 'yes'} | {row.tolerance:.3g} "
            f"| {row.golden_difference_x86:.2g} | {row.golden_difference_arm64:.2g} | {row.max_difference:.2g} "
            f"| {row.mean_difference:.2g} | {row.agreement:.3f} | {accuracy} | {decisions} "
            f"| {'yes' if row.within_tolerance else 'NO'} |"
        )
    print("\n| step | pixels that differ, % | max difference, gray levels |\n|---|---:|---:|")
    for pixels in report.pixels:
        print(f"| {pixels.step} | {100 * pixels.share:.2f} | {pixels.max_difference} |")
    print(flush=True)


def main() -> int:
    """Compares every bundle; returns 1 if an engine cannot open a model or its golden outputs are out of tolerance."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of the arm64 Python; it is made if it does not exist")
    parser.add_argument("bundles", type=Path, nargs="*", default=[SAMPLE], help="bundles to compare (default: sample)")
    parser.add_argument("--data", default="signs", help="signs, cifar10:ROOT, cifar100:ROOT or folder:ROOT")
    parser.add_argument("--images", type=int, default=40, help="number of test images of --data (default: 40)")
    parser.add_argument("--json", type=Path, help="file to write all figures to")
    options = parser.parse_args()
    try:
        if platform.machine() != "x86_64" or options.images < 1:
            raise UsageError(
                f"this needs an x86_64 machine and --images of 1 or more; got {platform.machine()}, {options.images}"
            )
        machine = prepare(options.folder, lambda text: print(text, file=sys.stderr, flush=True))
        reports = []
        for path in options.bundles:
            reports.append(compare(machine, path, options.data, options.images))
            show(reports[-1])
        if options.json:
            with atomic_file(options.json) as beside:
                beside.write_text(json.dumps([asdict(report) for report in reports], indent=1) + "\n")
    except AllweatherError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0 if all(row.opens for report in reports for row in report.rows) else 1


if __name__ == "__main__":
    sys.exit(main())
