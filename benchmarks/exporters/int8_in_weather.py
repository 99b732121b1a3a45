"""Measures what each precision of a bundle costs in bad weather: errors on the roads of the demo, one view a frame.

    python benchmarks/exporters/int8_in_weather.py [BUNDLE] [--frames 1680] [--seeds 11 12 13]

The errors of a condition are averaged over the roads, one for each seed.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import mean

import numpy as np

from allweather.demo.drive import region_around
from allweather.demo.outcomes import BAD_CONDITIONS, CLEAR, FrameOutcome, error_rate
from allweather.runtimes.bundle.bundle import Bundle
from allweather.runtimes.engines.open import infer_all, open_engine
from allweather.runtimes.markdown import markdown_table
from allweather.trainers.data.signs import CLASSES, render_drive

SAMPLE = Path(__file__).resolve().parents[2] / "samples/bundles/signs-robust"


def outcomes_of(bundle: Bundle, precisions: list[str], seed: int, frames: int) -> list[FrameOutcome]:
    """Returns what each precision reads on the frames of one road that show a sign."""
    truths, crops = [], []
    for frame in render_drive(seed, frames):
        if frame.label is not None:
            truths.append((frame.condition, CLASSES[frame.label], frame.sign))
            crops.append(bundle.input.prepare(region_around(frame.box, frame.image).crop(frame.image)))
    read = {}
    for precision in precisions:
        engine, _ = open_engine(bundle, "openvino", precision)
        read[precision] = infer_all(engine, np.stack(crops)).argmax(1)
        engine.close()
    return [
        FrameOutcome(condition, name, sign, {each: CLASSES[read[each][index]] for each in precisions}, 0.0, ())
        for index, (condition, name, sign) in enumerate(truths)
    ]


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path, nargs="?", default=SAMPLE)
    parser.add_argument("--frames", type=int, default=1680)
    parser.add_argument("--seeds", type=int, nargs="+", default=[11, 12, 13])
    args = parser.parse_args()
    bundle = Bundle.open(args.bundle)
    precisions = sorted({model.precision for model in bundle.manifest.models if model.role == "classifier"})
    roads = [outcomes_of(bundle, list(precisions), seed, args.frames) for seed in args.seeds]
    rows = [("signs misread, %", *precisions)]
    for condition in (CLEAR, *BAD_CONDITIONS):
        errors = [[error_rate(road, each, [condition]).error for road in roads] for each in precisions]
        rows.append((condition, *(f"{100 * mean(values):.1f}" for values in errors)))
    print("\n".join(markdown_table(rows)))


if __name__ == "__main__":
    main()
