"""The fair lock: one thread at a time, in the order in which they came, and released whatever happens."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
import warnings

import pytest

from allweather.runtimes.errors import UsageError
from allweather.runtimes.threads.fair_lock import FairLock


def test_the_lock_is_given_in_the_order_in_which_it_was_asked_for() -> None:
    lock, order = FairLock(), list[int]()

    def take(index: int) -> None:
        with lock:
            order.append(index)

    with lock:
        threads = []
        for index in range(8):
            threads.append(threading.Thread(target=take, args=(index,)))
            threads[-1].start()
            time.sleep(0.01)
        with lock:  # the holder does not wait for itself
            assert order == []
    for thread in threads:
        thread.join(5)
    assert order == list(range(8))


def test_one_thread_at_a_time() -> None:
    lock, inside, most = FairLock(), 0, 0

    def work() -> None:
        nonlocal inside, most
        for _ in range(200):
            with lock:
                inside += 1
                most = max(most, inside)
                time.sleep(0)
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert (inside, most) == (0, 1)


def test_an_error_inside_releases_the_lock() -> None:
    lock = FairLock()
    with pytest.raises(ZeroDivisionError), lock:
        raise ZeroDivisionError
    other = threading.Thread(target=lock.__enter__)
    other.start()
    other.join(5)
    assert not other.is_alive()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("is_held", [True, False])
def test_a_fork_is_told_instead_of_waiting_for_a_thread_that_it_has_not(is_held: bool) -> None:
    holder = FairLock()
    if is_held:
        thread = threading.Thread(target=holder.__enter__)
        thread.start()
        thread.join()
    lines = multiprocessing.get_context("fork").SimpleQueue()

    def use() -> None:
        try:
            with holder:
                lines.put("it has the lock")
        except UsageError as error:
            lines.put(str(error))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of a fork beside threads
        child = multiprocessing.get_context("fork").Process(target=use)
        child.start()
    child.join(20)
    assert child.exitcode == 0
    assert "cannot be used in a fork" in lines.get()
