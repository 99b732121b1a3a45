"""Prints the class of one image: python decide.py BUNDLE IMAGE."""

import sys

import cv2

import allweather

if len(sys.argv) != 3:
    sys.exit("usage: python decide.py BUNDLE IMAGE")
bundle, path = sys.argv[1:]
image = cv2.imread(path)
if image is None:
    sys.exit(f"OpenCV cannot read an image from {path}; check the path and the format")
with allweather.load(bundle, budget_ms=50) as perceiver:
    decision = perceiver(image, bgr=True)
print(f"{decision.label}  {decision.confidence:.0%}  {1000 * decision.age:.1f} ms")
