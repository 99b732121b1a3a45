"""Before other programs: memory that stays, real-time priority, and cores of one's own, where the system permits it."""

from allweather.runtimes.realtime.memory_lock import memory_locked
from allweather.runtimes.realtime.realtime import realtime
from allweather.runtimes.realtime.scheduling import as_usual

__all__ = ["as_usual", "memory_locked", "realtime"]
