"""FairLock: one at a time, in the order they came, and given back whatever happens."""

from __future__ import annotations

import threading
import time

import pytest

from allweather.runtimes.system.fair_lock import FairLock


def test_turns_are_taken_in_the_order_they_were_asked_for() -> None:
    turns, order = FairLock(), list[int]()

    def take(number: int) -> None:
        with turns:
            order.append(number)

    with turns:
        threads = []
        for number in range(8):
            threads.append(threading.Thread(target=take, args=(number,)))
            threads[-1].start()
            time.sleep(0.01)
        with turns:  # the holder's own is never a wait
            assert order == []
    for thread in threads:
        thread.join(5)
    assert order == list(range(8))


def test_one_at_a_time() -> None:
    turns, inside, most = FairLock(), 0, 0

    def work() -> None:
        nonlocal inside, most
        for _ in range(200):
            with turns:
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


def test_an_error_inside_gives_the_turn_back() -> None:
    turns = FairLock()
    with pytest.raises(ZeroDivisionError), turns:
        raise ZeroDivisionError
    other = threading.Thread(target=turns.__enter__)
    other.start()
    other.join(5)
    assert not other.is_alive()
