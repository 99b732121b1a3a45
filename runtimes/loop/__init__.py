"""The camera loop: reads frames, decides on them, hands the decisions to sinks, and keeps statistics."""

from allweather.runtimes.loop.deciders import Decider, FunctionDecider
from allweather.runtimes.loop.latency import LatencySummary, Quantiles
from allweather.runtimes.loop.loop import decide_frames, run
from allweather.runtimes.loop.several_cameras import CameraLoop, run_cameras
from allweather.runtimes.loop.signals import StopOnSignal
from allweather.runtimes.loop.stats import Heartbeat, LoopReport, LoopStats
from allweather.runtimes.loop.watch import watch

__all__ = [
    "CameraLoop",
    "Decider",
    "FunctionDecider",
    "Heartbeat",
    "LatencySummary",
    "LoopReport",
    "LoopStats",
    "Quantiles",
    "StopOnSignal",
    "decide_frames",
    "run",
    "run_cameras",
    "watch",
]
