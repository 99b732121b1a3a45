"""Decides what is in one picture: python decide.py BUNDLE PICTURE."""

import sys

import cv2

import allweather

bundle, picture = sys.argv[1:3]
image = cv2.imread(picture)
assert image is not None, f"{picture} is no picture"
with allweather.load(bundle, budget_ms=50) as perceiver:
    decision = perceiver(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
print(f"{decision.label}  {decision.confidence:.0%}  {1000 * decision.age:.1f} ms")
