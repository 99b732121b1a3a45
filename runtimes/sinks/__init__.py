"""Sinks: what happens to decisions, such as a log, a video or a message; derive from `Sink` for your own.

Those that need a library of their own are in the packages `mqtt`, `table`, `webhook` and `hard_frames`.
"""

from allweather.runtimes.sinks.annotate import annotate
from allweather.runtimes.sinks.base import Ended, Sink
from allweather.runtimes.sinks.callback import CallbackSink
from allweather.runtimes.sinks.event import Event
from allweather.runtimes.sinks.jsonl import JsonlSink
from allweather.runtimes.sinks.video import VideoSink
from allweather.runtimes.sinks.window import WindowSink

__all__ = ["CallbackSink", "Ended", "Event", "JsonlSink", "Sink", "VideoSink", "WindowSink", "annotate"]
