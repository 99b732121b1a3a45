"""Decides what is in one picture: python decide.py BUNDLE PICTURE."""

import sys

import cv2

import allweather

if len(sys.argv) != 3:
    sys.exit("usage: python decide.py BUNDLE PICTURE")
bundle, picture = sys.argv[1:]
image = cv2.imread(picture)
if image is None:
    sys.exit(f"{picture} is no picture that OpenCV can read")
with allweather.load(bundle, budget_ms=50) as perceiver:
    decision = perceiver(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
print(f"{decision.label}  {decision.confidence:.0%}  {1000 * decision.age:.1f} ms")
