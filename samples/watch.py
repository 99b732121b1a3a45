"""Decides on every frame of a source and prints the decisions: python watch.py BUNDLE SOURCE.

SOURCE is a camera ("0"), a video, a folder of images, a URL or a GStreamer pipeline. A class derived from
`allweather.Camera` can be the source too, and classes derived from `allweather.Sink` can take the decisions:
`allweather.watch(MyCamera(), perceiver, sinks=[MySink()])`.
"""

import sys

import allweather

if len(sys.argv) != 3:
    sys.exit("usage: python watch.py BUNDLE SOURCE")
bundle, source = sys.argv[1:3]
with allweather.load(bundle, budget_ms=33) as perceiver:
    for decision in allweather.watch(source, perceiver):
        late = "late" if decision.late else ""
        print(
            f"{decision.index:6d}  {decision.label:20s} {decision.confidence:.0%}  {1000 * decision.age:.1f} ms {late}"
        )
