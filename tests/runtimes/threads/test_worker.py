"""Calls that a worker makes in its thread."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from commands import default_interrupt

from allweather.runtimes.threads import EndedError, TimedOutError, Worker


class Doubling:
    """Doubles numbers; hangs on 0 until it is released, and fails on negative ones."""

    def __init__(self) -> None:
        self.threads: set[int] = set()
        self.ended, self.released = threading.Event(), threading.Event()

    @contextmanager
    def start(self) -> Iterator[Callable[[int], int]]:
        yield self.double
        self.ended.set()

    def double(self, number: int) -> int:
        self.threads.add(threading.get_ident())
        if number == 0:
            self.released.wait(10)
        if number < 0:
            raise ValueError(number)
        return 2 * number


def test_all_calls_are_made_in_one_other_thread() -> None:
    doubling = Doubling()
    worker: Worker[int, int] = Worker(doubling.start, "doubling")
    assert [worker.call(number, 10.0) for number in range(1, 5)] == [2, 4, 6, 8]
    worker.close()
    assert doubling.ended.is_set()
    assert len(doubling.threads) == 1
    assert threading.get_ident() not in doubling.threads


def test_an_error_reaches_the_caller_and_the_worker_goes_on() -> None:
    worker: Worker[int, int] = Worker(Doubling().start, "doubling")
    with pytest.raises(ValueError, match="-3"):
        worker.call(-3, 10.0)
    assert worker.call(3, 10.0) == 6
    worker.close()


def test_after_ctrl_c_the_next_call_gets_its_own_result() -> None:
    doubling = Doubling()
    worker: Worker[int, int] = Worker(doubling.start, "doubling")
    assert worker.call(1, 10.0) == 2
    threading.Timer(0.1, signal.pthread_kill, [threading.get_ident(), signal.SIGINT]).start()
    with default_interrupt(), pytest.raises(KeyboardInterrupt):
        worker.call(0, 10.0)
    doubling.released.set()
    assert [worker.call(number, 10.0) for number in (3, 4)] == [6, 8]
    worker.close()


def test_a_call_that_hangs_is_left_behind_and_its_thread_ends_with_it() -> None:
    doubling = Doubling()
    worker: Worker[int, int] = Worker(doubling.start, "doubling")
    with pytest.raises(TimedOutError):
        worker.call(0, 0.05)
    assert not doubling.ended.is_set()
    doubling.released.set()
    worker.join()
    assert doubling.ended.is_set()


def test_a_call_after_the_end_is_told_at_once() -> None:
    """It waited for its whole time."""
    worker: Worker[int, int] = Worker(Doubling().start, "doubling")
    worker.close()
    for _ in range(2):
        with pytest.raises(EndedError):
            worker.call(1, 10.0)


def test_an_error_of_the_start_is_raised_by_all_calls() -> None:
    """The second one waited for its whole time, as there was no thread any more."""

    @contextmanager
    def start() -> Iterator[Callable[[int], int]]:
        raise ZeroDivisionError
        yield

    worker: Worker[int, int] = Worker(start, "failing")
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            worker.call(1, 10.0)
    worker.join()


def test_a_program_that_ends_by_ctrl_c_waits_for_the_end_of_the_call() -> None:
    """ONNX Runtime and OpenVINO abort the process if a call of theirs returns after the end of Python."""
    command = [sys.executable, "-c", ENDS_BY_CTRL_C]
    with default_interrupt():
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr.splitlines()[-1]) == (
        "the call has ended\nthe thread has ended\n",
        "KeyboardInterrupt",
    )


ENDS_BY_CTRL_C = """
import signal, threading, time
from contextlib import contextmanager
from allweather.runtimes.threads import Worker

@contextmanager
def start():
    yield call
    print("the thread has ended", flush=True)

def call(seconds):
    time.sleep(seconds)
    print("the call has ended", flush=True)

threading.Timer(0.1, signal.pthread_kill, [threading.get_ident(), signal.SIGINT]).start()
Worker(start, "slow").call(0.5, 10.0)
"""
