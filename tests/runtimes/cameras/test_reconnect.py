"""How patiently a stream is opened again, with a clock that does as it is told."""

from __future__ import annotations

import socket
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from allweather.runtimes.cameras.live import LiveCamera
from allweather.runtimes.cameras.opencv import TIMEOUT_SECONDS, open_stream
from allweather.runtimes.cameras.reconnect import AT_LEAST, PATIENT_AFTER, SLOWER, StreamConnector
from allweather.runtimes.errors import CameraError
from allweather.runtimes.types import Image


class Ticking:
    """A stream that gives a frame each millisecond, or none."""

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
        """Nothing to let go of."""


class Network:
    """Opens what it is told to open, and notes how long it was given."""

    def __init__(self) -> None:
        self.now, self.took, self.well, self.gives_up = 0.0, 0.1, True, False
        self.given: list[float] = []

    def open(self, url: str, name: str, seconds: float) -> Ticking:
        self.given.append(seconds)
        if self.well and self.took < seconds:
            self.now += self.took
            return Ticking()
        self.now += seconds
        if self.gives_up:
            return Ticking()
        raise CameraError(f"no video from {name}")

    def stream(self) -> StreamConnector:
        return StreamConnector("rtsp://door", "the door", opening=self.open, clock=lambda: self.now)


def attempt(stream: StreamConnector) -> bool:
    try:
        stream()
    except CameraError:
        return False
    return True


def test_the_first_opening_has_all_the_time_however_often_it_fails() -> None:
    network = Network()
    stream, network.well = network.stream(), False
    assert not any(attempt(stream) for _ in range(10))
    assert set(network.given) == {TIMEOUT_SECONDS}


@given(took=st.floats(0, TIMEOUT_SECONDS, exclude_max=True))
def test_after_it_was_open_an_attempt_has_three_times_what_it_took(took: float) -> None:
    network = Network()
    stream, network.took = network.stream(), took
    assert attempt(stream)
    assert stream.limit() == pytest.approx(min(max(AT_LEAST, SLOWER * took), TIMEOUT_SECONDS))


@given(took=st.floats(0, TIMEOUT_SECONDS, exclude_max=True))
def test_a_way_that_became_longer_is_found_after_four_in_vain(took: float) -> None:
    network = Network()
    stream = network.stream()
    assert attempt(stream)
    network.took = took
    assert any(attempt(stream) for _ in range(PATIENT_AFTER + 1))
    assert stream.limit() == pytest.approx(min(max(AT_LEAST, SLOWER * max(took, 0.1)), TIMEOUT_SECONDS))


def test_an_opening_that_took_all_its_time_is_no_measure() -> None:
    network = Network()
    stream = network.stream()
    assert attempt(stream)
    network.well, network.gives_up = False, True
    assert attempt(stream)
    assert stream.limit() == AT_LEAST


def test_the_patient_attempts_become_rare() -> None:
    network = Network()
    stream = network.stream()
    assert attempt(stream)
    network.well = False
    assert not any(attempt(stream) for _ in range(70))
    assert [tries for tries, given in enumerate(network.given[1:]) if given == TIMEOUT_SECONDS] == [4, 8, 16, 32, 64]


def test_a_stream_that_fell_silent_while_it_was_opened_is_soon_opened_anew() -> None:
    calls = []

    def opening(url: str, name: str, seconds: float) -> Ticking:
        calls.append(seconds)
        if len(calls) == 2:  # the answer is lost; the camera is well again at once
            time.sleep(seconds)
            raise CameraError(f"no video from {name}")
        return Ticking(ends=len(calls) == 1)

    with LiveCamera(StreamConnector("rtsp://door", "the door", opening=opening), "the door") as camera:
        began = time.monotonic()
        next(iter(camera))
    assert time.monotonic() - began < TIMEOUT_SECONDS
    assert calls == [TIMEOUT_SECONDS, AT_LEAST, AT_LEAST]


def test_a_server_that_accepts_and_says_nothing_is_given_up_sooner_after_it_was_open() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        openings = [lambda url, name, seconds: Ticking(), open_stream]
        stream = StreamConnector(
            f"http://127.0.0.1:{server.getsockname()[1]}/door",
            "the door",
            opening=lambda url, name, seconds: openings.pop(0)(url, name, seconds),
        )
        stream()
        began = time.monotonic()
        with pytest.raises(CameraError, match="no video from the door"):
            stream()
        assert time.monotonic() - began < TIMEOUT_SECONDS - 1
