"""Frames that were hard to decide on, saved for people to label."""

from allweather.runtimes.sinks.hard_frames.sink import HardFramesSink

__all__ = ["HardFramesSink"]
