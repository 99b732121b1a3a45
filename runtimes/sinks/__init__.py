"""Sinks: where decisions go, such as a log, a video or a window."""
