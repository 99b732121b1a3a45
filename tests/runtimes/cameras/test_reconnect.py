"""The timeout with which a stream is opened again, with a clock that the test controls."""

from __future__ import annotations

import socket
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from allweather.runtimes.cameras.live import LiveCamera
from allweather.runtimes.cameras.opencv import STREAM_TIMEOUT_SECONDS, open_stream
from allweather.runtimes.cameras.reconnect import (
    FULL_TIMEOUT_AFTER,
    MIN_TIMEOUT_SECONDS,
    TIMEOUT_FACTOR,
    StreamConnector,
)
from allweather.runtimes.errors import CameraError
from allweather.runtimes.types import Image


class Ticking:
    """A stream that gives a frame every millisecond, or none."""

    fps: float | None = None
    endless = True

    def __init__(self, *, ends: bool = False) -> None:
        self.ends = ends

    def grab(self) -> bool:
        time.sleep(0.001)
        return not self.ends

    def retrieve(self) -> Image | None:
        return np.zeros((4, 6, 3), np.uint8)

    def close(self) -> None:
        """Nothing to close."""


class Network:
    """Opens streams in `seconds` while `working`, and notes the timeouts it is called with."""

    def __init__(self) -> None:
        self.now, self.seconds, self.working, self.gives_up = 0.0, 0.1, True, False
        self.timeouts: list[float] = []

    def open(self, url: str, name: str, timeout: float) -> Ticking:
        self.timeouts.append(timeout)
        if self.working and self.seconds < timeout:
            self.now += self.seconds
            return Ticking()
        self.now += timeout
        if self.gives_up:
            return Ticking()
        raise CameraError(f"no video from {name}")

    def connector(self) -> StreamConnector:
        return StreamConnector("rtsp://door", "the door", opener=self.open, clock=lambda: self.now)


def attempt(connector: StreamConnector) -> bool:
    """Returns whether an attempt to open the stream succeeds."""
    try:
        connector()
    except CameraError:
        return False
    return True


def test_before_the_first_success_every_attempt_has_the_full_timeout() -> None:
    network = Network()
    connector, network.working = network.connector(), False
    assert not any(attempt(connector) for _ in range(10))
    assert set(network.timeouts) == {STREAM_TIMEOUT_SECONDS}


@pytest.mark.slow
@given(seconds=st.floats(0, STREAM_TIMEOUT_SECONDS, exclude_max=True))
def test_after_a_success_the_timeout_is_three_times_its_duration(seconds: float) -> None:
    network = Network()
    connector, network.seconds = network.connector(), seconds
    assert attempt(connector)
    assert connector.timeout() == pytest.approx(
        min(max(MIN_TIMEOUT_SECONDS, TIMEOUT_FACTOR * seconds), STREAM_TIMEOUT_SECONDS)
    )


@given(seconds=st.floats(0, STREAM_TIMEOUT_SECONDS, exclude_max=True))
def test_a_stream_that_became_slower_is_open_again_after_four_failures(seconds: float) -> None:
    network = Network()
    connector = network.connector()
    assert attempt(connector)
    network.seconds = seconds
    assert any(attempt(connector) for _ in range(FULL_TIMEOUT_AFTER + 1))
    assert connector.timeout() == pytest.approx(
        min(max(MIN_TIMEOUT_SECONDS, TIMEOUT_FACTOR * max(seconds, 0.1)), STREAM_TIMEOUT_SECONDS)
    )


def test_an_attempt_that_used_up_its_timeout_does_not_change_the_timeout() -> None:
    network = Network()
    connector = network.connector()
    assert attempt(connector)
    network.working, network.gives_up = False, True
    assert attempt(connector)
    assert connector.timeout() == MIN_TIMEOUT_SECONDS


def test_attempts_with_the_full_timeout_become_rare() -> None:
    network = Network()
    connector = network.connector()
    assert attempt(connector)
    network.working = False
    assert not any(attempt(connector) for _ in range(70))
    assert [failures for failures, timeout in enumerate(network.timeouts[1:]) if timeout == STREAM_TIMEOUT_SECONDS] == [
        4,
        8,
        16,
        32,
        64,
    ]


@pytest.mark.slow
def test_a_stream_that_fell_silent_while_it_was_opened_is_soon_opened_again() -> None:
    calls = []

    def opener(url: str, name: str, timeout: float) -> Ticking:
        calls.append(timeout)
        if len(calls) == 2:  # the response is lost; the camera works again at once
            time.sleep(timeout)
            raise CameraError(f"no video from {name}")
        return Ticking(ends=len(calls) == 1)

    with LiveCamera(StreamConnector("rtsp://door", "the door", opener=opener), "the door") as camera:
        started = time.monotonic()
        next(iter(camera))
    assert time.monotonic() - started < STREAM_TIMEOUT_SECONDS
    assert calls == [STREAM_TIMEOUT_SECONDS, MIN_TIMEOUT_SECONDS, MIN_TIMEOUT_SECONDS]


@pytest.mark.slow
def test_a_server_that_accepts_and_sends_nothing_times_out_sooner_after_a_success() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        openers = [lambda url, name, timeout: Ticking(), open_stream]
        connector = StreamConnector(
            f"http://127.0.0.1:{server.getsockname()[1]}/door",
            "the door",
            opener=lambda url, name, timeout: openers.pop(0)(url, name, timeout),
        )
        connector()
        started = time.monotonic()
        with pytest.raises(CameraError, match="no video from the door"):
            connector()
        assert time.monotonic() - started < STREAM_TIMEOUT_SECONDS - 1
