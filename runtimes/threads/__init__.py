"""Threads: a lock that is given in turn, and a worker that can be left behind when it hangs."""

from allweather.runtimes.threads.fair_lock import FairLock
from allweather.runtimes.threads.worker import EndedError, TimedOutError, Worker

__all__ = ["EndedError", "FairLock", "TimedOutError", "Worker"]
