"""Decides on pictures with networks on a server, within a budget: python ask_server.py BUNDLE ADDRESS MS PICTURE...

The server is Triton or the OpenVINO Model Server with a repository of BUNDLE ('allweather export BUNDLE --layout'), at
ADDRESS, such as http://10.0.0.7:8000. The client takes names, size and policy from the bundle. A frame goes in as many
views as the budget of MS milliseconds leaves time for, in one request; it goes once where more does not fit, and is
given up where not even that comes back in time.
"""

import argparse
import sys

import cv2

from allweather import AllweatherError, EngineTimeoutError, connect

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("bundle")
parser.add_argument("address")
parser.add_argument("ms", type=float)
parser.add_argument("pictures", nargs="+", metavar="picture")
asked = parser.parse_args()
try:
    with connect(asked.bundle, asked.address, budget_ms=asked.ms) as perceiver:
        for picture in asked.pictures:
            image = cv2.imread(picture)
            if image is None:
                sys.exit(f"error: {picture} is no picture that OpenCV can read")
            try:
                decision = perceiver(image, bgr=True)
            except EngineTimeoutError as error:
                print(f"{picture}  no answer within the budget ({error})")
                continue
            looks = f"{len(decision.views)} of {decision.planned_views} looks ({decision.reason})"
            late = "  late" if decision.late else ""
            print(
                f"{picture}  {decision.label}  {decision.confidence:.0%}  {looks}  {1000 * decision.age:.1f} ms{late}"
            )
except AllweatherError as error:
    sys.exit(f"error: {error}")
