"""Decisions and events to a real MQTT broker: what arrives, and what becomes of it while the broker is away."""

from __future__ import annotations

import json
import logging
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from decisions import decision, frame, opened
from mqtt_broker import WAIT_SECONDS, Broker, Listener, Relay, broker
from programs import require_program

from allweather.runtimes.errors import OutputError
from allweather.runtimes.region import Region
from allweather.runtimes.sinks.event import Event
from allweather.runtimes.sinks.mqtt import MqttSink
from allweather.runtimes.sinks.mqtt import publisher as connection

BASE = "allweather/front"
DECISIONS = f"{BASE}/decision"


@pytest.fixture(autouse=True)
def _quick_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "MIN_WAIT_SECONDS", 0.1)
    monkeypatch.setattr(connection, "MAX_WAIT_SECONDS", 0.2)


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Broker]:
    with broker(tmp_path) as one:
        yield one


def wait_until_connected(sink: MqttSink) -> None:
    end = time.monotonic() + WAIT_SECONDS
    while not sink.connected:
        assert time.monotonic() < end
        time.sleep(0.01)


def test_decisions_and_the_state_of_the_camera_arrive(started: Broker) -> None:
    sink = MqttSink(started.address, source="front", wall_clock=lambda: 1.7e9, clock=lambda: 50.0)
    gate = replace(decision(1, label="né\x1b\ud800#+/"), region=Region(1, 2, 3, 4), name="gate #1")
    with Listener(started) as heard:
        with opened(sink):
            sink.write_event(Event("connection", "rtsp://***@front/1", "live", "", 47.0))
            sink.write_event(Event("health", "rtsp://***@front/1", "degraded", "dark", 49.0))
            sink.write_frame(frame(), (decision(0), gate))
            heard.wait(f"{BASE}/availability", "online")
            heard.wait_for(f"{DECISIONS}/gate-1", lambda texts: len(texts) == 1)
        heard.wait(f"{BASE}/availability", "offline")
        (first,), (named,) = heard.texts(DECISIONS), heard.texts(f"{DECISIONS}/gate-1")
    assert json.loads(first)["label"] == "stop"
    assert json.loads(first)["source"] == "front"
    assert {key: json.loads(named)[key] for key in ("label", "region", "name")} == {
        "label": "né\x1b\\ud800#+/", "region": [1, 2, 3, 4], "name": "gate #1",
    }  # fmt: skip
    with Listener(started) as later:  # what somebody hears who comes later
        later.wait(f"{BASE}/availability", "offline")
        for topic in (f"{BASE}/connection", f"{BASE}/health"):  # a broker tells them in no order that a test may expect
            later.wait_for(topic, bool)
        assert json.loads(later.texts(f"{BASE}/connection")[0]) == {
            "time": 1.7e9 - 3, "event": "connection", "source": "front", "state": "live", "reason": "",
        }  # fmt: skip
        assert json.loads(later.texts(f"{BASE}/health")[0])["reason"] == "dark"
        assert not later.texts(DECISIONS)
        for state in (DECISIONS, f"{DECISIONS}/gate-1", f"{BASE}/connection", f"{BASE}/health"):
            later.wait_for_announcement(state)


@pytest.mark.slow
def test_a_program_that_is_killed_is_offline(started: Broker) -> None:
    code = f"""
from allweather.runtimes.sinks.mqtt import MqttSink
sink = MqttSink({started.address!r}, source="front")
sink.open()
input()
"""
    with Listener(started) as heard:
        with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE) as program:
            try:
                heard.wait(f"{BASE}/availability", "online")
            finally:
                program.send_signal(signal.SIGKILL)
        heard.wait(f"{BASE}/availability", "offline")


@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.slow
def test_nothing_is_lost_while_a_broker_is_killed_and_replaced(qos: int, tmp_path: Path) -> None:
    relay = Relay()
    sink = MqttSink(relay.address, source="front", qos=qos)
    with broker(tmp_path) as first, Listener(first) as heard:
        relay.lead_to(first)
        sink.open()
        sink.write_event(Event("connection", "front", "live", "", 0.0))
        for index in range(100):
            sink.write(frame(index), decision(index))
        heard.wait_for(DECISIONS, lambda texts: len(texts) == 100)
        assert heard.indices(DECISIONS) == [*range(100)]
        first.kill()
        relay.cut()
    for index in range(100, 300):
        sink.write(frame(index), decision(index))
    with broker(tmp_path) as second, Listener(second) as heard:
        relay.lead_to(second)
        for index in range(300, 400):
            sink.write(frame(index), decision(index))
        heard.wait_for(DECISIONS, lambda texts: {json.loads(text)["index"] for text in texts} >= {*range(100, 400)})
        sink.close()
        arrived = heard.indices(DECISIONS)
        # the first broker may have been killed before it confirmed the last ones, which are sent again then
        assert {*range(100, 400)} <= {*arrived} <= {*range(80, 400)}
        if qos == 2:
            assert len(arrived) == len({*arrived})
        assert json.loads(heard.texts(f"{BASE}/connection")[-1])["state"] == "live"  # the new broker is told again
        heard.wait(f"{BASE}/availability", "offline")
    relay.cut()


def test_the_newest_decisions_are_kept_for_a_broker_that_comes_late(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    relay = Relay()
    sink = MqttSink(relay.address, source="front", max_waiting=10, discovery="")
    sink.open()
    for index in range(100):
        sink.write(frame(index), decision(index))
    with broker(tmp_path) as late, Listener(late) as heard:
        relay.lead_to(late)
        heard.wait_for(DECISIONS, lambda texts: bool(texts) and json.loads(texts[-1])["index"] == 99)
        arrived = heard.indices(DECISIONS)
        assert arrived[-10:] == [*range(90, 100)]
        assert len(arrived) <= 11  # one more may have been about to be sent
        lost = rf"^{100 - len(arrived)} messages are missing at {relay.address}: it was too slow or away"
        with pytest.raises(OutputError, match=lost):
            sink.close()
    relay.cut()
    told = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert sum("the oldest of them are dropped" in text for text in told) == 1
    assert sum("Connection refused" in text for text in told) == 1


class FarAway(Relay):
    """A relay to a broker that takes a while to respond."""

    def _accept(self, server: socket.socket) -> None:
        time.sleep(0.7)
        super()._accept(server)


def test_a_run_that_ends_before_it_is_connected_loses_nothing(started: Broker) -> None:
    relay = FarAway()
    relay.lead_to(started)
    with Listener(started) as listener:
        with opened(MqttSink(f"{relay.address}/front", discovery="")) as sink:
            for index in range(3):
                sink.write(frame(index), decision(index))
        end = time.monotonic() + WAIT_SECONDS
        while listener.indices("front/decision") != [0, 1, 2]:
            assert time.monotonic() < end
            time.sleep(0.01)
    relay.cut()


@pytest.mark.slow
def test_a_broker_that_never_comes_is_told_at_the_end() -> None:
    sink = MqttSink("mqtt://me:s3cret@127.0.0.1:9", source="front", discovery="")
    sink.open()
    for index in range(3):
        sink.write(frame(index), decision(index))
    with pytest.raises(OutputError, match=r"^3 messages are missing at mqtt://127.0.0.1:9: cannot connect \(.*refused"):
        sink.close()


def test_a_wrong_password_is_told_once_and_never_shown(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    passwords = tmp_path / "passwords"
    tool = require_program("mosquitto_passwd", without="passwords of a broker are not tested")
    subprocess.run([tool, "-c", "-b", str(passwords), "me", "s3cret"], check=True, capture_output=True)
    settings = ("allow_anonymous false", f"password_file {passwords}")
    with broker(tmp_path, settings) as locked:
        address = locked.address.replace("//", "//me:wr0ng@")
        sink = MqttSink(address, source="front", discovery="")
        sink.open()
        sink.write(frame(), decision())
        end = time.monotonic() + WAIT_SECONDS
        while not caplog.records:
            assert time.monotonic() < end
            time.sleep(0.05)
        time.sleep(0.5)  # some further attempts
        with pytest.raises(OutputError, match=r"1 messages are missing.*refuses the connection \(not authorized\)"):
            sink.close()
        (said,) = [record.getMessage() for record in caplog.records]
        assert "wr0ng" not in said
        right = MqttSink(locked.address, source="front", user="me", password="s3cret")  # noqa: S106 -- no secret
        with opened(right):
            right.write(frame(), decision())
            wait_until_connected(right)


def test_a_sink_that_was_closed_is_opened_again(started: Broker) -> None:
    sink = MqttSink(started.address, source="front")
    with Listener(started) as heard:
        for index in range(3):
            with opened(sink):
                sink.write(frame(index), decision(index))
                wait_until_connected(sink)
        heard.wait_for(DECISIONS, lambda texts: len(texts) == 3)
        assert heard.indices(DECISIONS) == [0, 1, 2]
        heard.wait(f"{BASE}/availability", "offline")
