"""Measures what policies misread on several roads of the demo, which tells more than one: a road has few signs.

    python benchmarks/tta/drive_roads.py BUNDLE ... [--roads 0 1 2 3 4] [--policies center top:1 top:2 top:3]

BUNDLE is a bundle of road signs, such as FOLDER/SEED/signs.aw of benchmarks/tta/drive.py. Every other frame with a sign
is read, without a budget and in FP32, so that the figures do not depend on how fast the machine is. The table is the
mean over the bundles of the share of signs misread in each weather.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).resolve().parents[1] / "trainers"))  # a script finds only what is beside it
from studies import errors_in_one_line

from allweather import load
from allweather.demo.drive import region_around
from allweather.demo.outcomes import BAD_CONDITIONS, CLEAR
from allweather.runtimes.markdown import markdown_table
from allweather.runtimes.types import Image
from allweather.trainers.data.signs import CLASSES, render_drive

FRAMES, EVERY = 1680, 2  # of a road; of them every second one, as neighbors are nearly the same
MEAN = "mean of the bad weather"


@dataclass(frozen=True)
class Sign:
    """What a tracker would cut out of a frame.

    Attributes:
        condition: The weather.
        label: Name of the true class.
        image: uint8 [h, w, 3], RGB.
    """

    condition: str
    label: str
    image: Image


def signs_of(road: int) -> Iterator[Sign]:
    """Yields the sign of every other frame that has one."""
    for index, frame in enumerate(render_drive(road, FRAMES)):
        if frame.label is not None and index % EVERY == 0:
            yield Sign(frame.condition, CLASSES[frame.label], region_around(frame.box, frame.image).crop(frame.image))


def errors(bundle: Path, policy: str, signs: Sequence[Sign]) -> dict[str, float]:
    """Returns the percentage misread in each weather, and its mean over the bad weather."""
    wrong: dict[str, list[bool]] = {name: [] for name in (CLEAR, *BAD_CONDITIONS)}
    with load(bundle, engine="openvino", precision="fp32", policy=policy) as perceiver:
        for sign in signs:
            wrong[sign.condition].append(perceiver(sign.image).label != sign.label)
    found = {name: 100 * float(np.mean(each)) for name, each in wrong.items()}
    return {**found, MEAN: float(np.mean([found[name] for name in BAD_CONDITIONS]))}


def main() -> None:
    """Reads all signs by all policies, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundles", nargs="+", type=Path, metavar="BUNDLE")
    parser.add_argument("--roads", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--policies", nargs="+", default=["center", "top:1", "top:2", "top:3"], metavar="POLICY")
    args = parser.parse_args()
    signs = [sign for road in args.roads for sign in signs_of(road)]
    columns = [[errors(bundle, policy, signs) for bundle in args.bundles] for policy in args.policies]
    rows = [("signs misread, %", *args.policies)]
    for name in columns[0][0]:
        rows.append((name, *(f"{np.mean([each[name] for each in column]):.1f}" for column in columns)))
    print("\n".join(markdown_table(rows)))
    print(f"{len(signs)} frames of roads {args.roads}; {len(args.bundles)} bundles")


if __name__ == "__main__":
    with errors_in_one_line():
        main()
