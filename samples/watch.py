"""Decides on every frame of a source: python watch.py BUNDLE SOURCE.

SOURCE is a camera ("0"), a video, a folder of pictures, a URL or a GStreamer pipeline.
"""

import sys

import allweather

bundle, source = sys.argv[1:3]
with allweather.load(bundle, budget_ms=33) as perceiver:
    for decision in allweather.watch(source, perceiver):
        note = "late" if decision.late else ""
        print(
            f"{decision.index:6d}  {decision.label:20s} {decision.confidence:.0%}  {1000 * decision.age:.1f} ms {note}"
        )
