"""Decides on images with models on a server, within a budget: python ask_server.py BUNDLE ADDRESS MS IMAGE...

The server is Triton or the OpenVINO Model Server with a model repository of BUNDLE ('allweather export BUNDLE
--layout'), at ADDRESS, such as http://10.0.0.7:8000. The client takes the class names, the input size and the policy
from the bundle. It sends as many views of an image in one request as the budget of MS milliseconds leaves time for, or
a single view if there is no time for more, and raises a timeout if not even that comes back within the budget.
"""

import argparse
import sys

import cv2

from allweather import AllweatherError, EngineTimeoutError, connect

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("bundle", help="the bundle that the server's repository was written from")
parser.add_argument("address", help="http://HOST:PORT of the server")
parser.add_argument("ms", type=float, help="milliseconds that a decision may take")
parser.add_argument("images", nargs="+", metavar="image", help="image files")
options = parser.parse_args()
try:
    with connect(options.bundle, options.address, budget_ms=options.ms) as perceiver:
        for path in options.images:
            image = cv2.imread(path)
            if image is None:
                sys.exit(f"error: OpenCV cannot read an image from {path}; check the path and the format")
            try:
                decision = perceiver(image, bgr=True)
            except EngineTimeoutError as error:
                print(f"{path}  no response within the budget ({error})")
                continue
            views = f"{len(decision.views)} of {decision.planned_views} views ({decision.reason})"
            late = "  late" if decision.late else ""
            print(f"{path}  {decision.label}  {decision.confidence:.0%}  {views}  {1000 * decision.age:.1f} ms{late}")
except AllweatherError as error:
    sys.exit(f"error: {error}")
