"""The queue between the camera loop and what sends, and the log of faults."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allweather.runtimes.sinks.fault_log import QUIET_SECONDS, FaultLog
from allweather.runtimes.sinks.outbox import Outbox


@given(count=st.integers(0, 30), max_batch=st.integers(1, 7), given_up=st.booleans())
@settings(max_examples=25)
def test_every_item_is_sent_once_in_its_order_or_counted(count: int, max_batch: int, given_up: bool) -> None:
    sent: list[int] = []

    def send(items: Sequence[int]) -> int:
        assert 1 <= len(items) <= max_batch
        sent.extend(items)
        return len(items) if given_up else 0

    outbox = Outbox("receiver", send, max_batch=max_batch)
    outbox.start()
    for item in range(count):
        outbox.put(item)
    assert outbox.close(10) == (count if given_up else 0)
    assert sent == [*range(count)]


def test_the_oldest_are_dropped_and_that_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    sent: list[int] = []
    gate, entered = threading.Event(), threading.Event()

    def send(items: Sequence[int]) -> int:
        entered.set()
        assert gate.wait(10)
        sent.extend(items)
        return 0

    outbox = Outbox("receiver", send, max_waiting=5)
    outbox.start()
    outbox.put(0)
    assert entered.wait(10)
    for item in range(1, 101):
        outbox.put(item)
    assert outbox.lost == 95
    gate.set()
    assert outbox.close(10) == 95
    assert sent == [0, 96, 97, 98, 99, 100]
    assert [record.getMessage() for record in caplog.records] == [
        "receiver takes decisions too slowly or not at all; the oldest of them are dropped"
    ]


def test_what_a_receiver_that_hangs_never_took_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("allweather.runtimes.sinks.outbox.STOP_SECONDS", 0.05)
    gate, entered = threading.Event(), threading.Event()

    def send(items: Sequence[int]) -> int:
        entered.set()
        assert gate.wait(10)
        return 0

    outbox = Outbox("receiver", send)
    outbox.start()
    for item in range(5):
        outbox.put(item)
    assert entered.wait(10)
    assert outbox.close(0.05) == 5
    gate.set()


def test_items_that_cannot_be_sent_do_not_keep_back_those_that_follow(caplog: pytest.LogCaptureFixture) -> None:
    sent: list[int] = []

    def send(items: Sequence[int]) -> int:
        if items[0] % 2:
            raise ValueError("odd")
        sent.extend(items)
        return 0

    outbox = Outbox("receiver", send)
    outbox.start()
    for item in range(10):
        outbox.put(item)
    assert outbox.close(10) == 5
    assert sent == [0, 2, 4, 6, 8]
    assert [record.getMessage() for record in caplog.records] == [
        "receiver: some decisions cannot be sent and are lost: ValueError: odd"
    ]


def test_a_receiver_that_comes_and_goes_is_told_about_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    now = [100.0]
    log = FaultLog("receiver", clock=lambda: now[0])
    for _ in range(10):
        log.note("gone", "waits")
        log.note("gone", "waits")
        assert log.fault == "gone"
        log.clear()
        assert not log.fault
    now[0] += QUIET_SECONDS
    log.note("late", "waits")
    assert [record.getMessage() for record in caplog.records] == [
        "receiver: gone; waits", "receiver takes decisions again", "receiver: late; waits",
    ]  # fmt: skip


def test_a_fault_that_begins_soon_after_another_and_stays_is_told_later(caplog: pytest.LogCaptureFixture) -> None:
    now = [100.0]
    log = FaultLog("receiver", clock=lambda: now[0])
    log.note("gone", "waits")
    log.clear()
    for _ in range(10):
        now[0] += QUIET_SECONDS / 5
        log.note("gone", "waits")
    for _ in range(10):
        now[0] += QUIET_SECONDS / 5
        log.note("refuses", "waits")
    assert [record.getMessage() for record in caplog.records] == [
        "receiver: gone; waits", "receiver takes decisions again", "receiver: gone; waits", "receiver: refuses; waits",
    ]  # fmt: skip
