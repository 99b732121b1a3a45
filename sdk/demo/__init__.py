"""The demo: trains on the embedded data set, exports, drives past road signs in bad weather, and writes a report."""

from __future__ import annotations

from allweather.demo.demo import run_demo

__all__ = ["run_demo"]
