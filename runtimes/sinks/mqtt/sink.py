"""`MqttSink`: decisions and events as messages to an MQTT broker."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from allweather.runtimes.errors import UsageError
from allweather.runtimes.setting_types import check_text, is_number
from allweather.runtimes.sinks.base import Sink
from allweather.runtimes.sinks.event import Event
from allweather.runtimes.sinks.mqtt.address import parse_address, tls_context
from allweather.runtimes.sinks.mqtt.discovery import Discovery
from allweather.runtimes.sinks.mqtt.publisher import Publisher
from allweather.runtimes.sinks.mqtt.topics import (
    DEFAULT_TOPIC,
    MAX_REGIONS,
    DecisionTopics,
    availability_topic,
    camera_topic,
    checked_topic,
    event_topic,
)
from allweather.runtimes.sinks.outbox import MAX_WAITING
from allweather.runtimes.sinks.record import event_line, json_line
from allweather.runtimes.system.path_argument import as_path
from allweather.runtimes.types import Decision, Frame


class MqttSink(Sink):
    """Publishes each decision to an MQTT broker, and what is known of the camera. The camera loop never waits for it.

    | topic, below `topic` | message | retained |
    |---|---|---|
    | `decision`, `decision/NAME` of a region that has a name | a decision, as a line of `JsonlSink` | no |
    | `connection`, `health` | the newest `Event` of that kind: time, source, state, reason | yes |
    | `availability` | `online`; `offline` once the sink is closed or its program is gone (last will) | yes |

    A broker that is away does not keep the camera from starting, and is connected to again whenever it is lost, after
    one second at first and a minute at most. Meanwhile messages wait in memory; once there are too many, the oldest are
    dropped. With `qos=1` or 2, what was sent but not confirmed is sent again.

    Args:
        address: mqtt://HOST, with USER:PASSWORD@ before HOST, and :PORT and /TOPIC after it, if needed; mqtts:// for
            TLS; or env:NAME or file:PATH, the environment variable or file that holds it, as other users of the machine
            can read a command line.
        source: Name of the camera, without passwords.
        topic: Topic below which the messages are, unless the address has one. Its level CAMERA is replaced by the name
            of the camera, in letters, digits, "_", "." and "-".
        qos: 0 (a message may be lost with the connection), 1 (may come twice) or 2 (comes once).
        user: Name of the user, instead of the one in the address.
        password: Password, instead of the one in the address; env:NAME or file:PATH, where it is.
        ca_file: PEM file of the authorities that the certificate of the broker is checked by; None for the system's.
        certificate: PEM file of the client's own certificate; None for none.
        key: PEM file of its private key; None if it is in the file of the certificate.
        discovery: Topic below which Home Assistant finds new devices; "" to announce none.
        max_waiting: Number of messages that wait at most, some kilobyte each.
        clock: Returns monotonic seconds.
        wall_clock: Returns seconds since 1970, UTC.
    """

    def __init__(
        self,
        address: str,
        *,
        source: str = "camera",
        topic: str = DEFAULT_TOPIC,
        qos: int = 1,
        user: str = "",
        password: str = "",
        ca_file: Path | str | None = None,
        certificate: Path | str | None = None,
        key: Path | str | None = None,
        discovery: str = "homeassistant",
        max_waiting: int = MAX_WAITING,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """Connects to nothing yet.

        Raises:
            UsageError: The address or a topic is none, or `qos` or `max_waiting` is out of range.
            OutputError: A file of the TLS connection is missing or damaged.
        """
        if not is_number(qos) or qos not in (0, 1, 2):
            raise UsageError(f"the quality of service (qos) of MQTT is 0, 1 or 2; got {qos!r:.40}")
        if not is_number(max_waiting) or not max_waiting >= 1:
            raise UsageError(f"max_waiting is a number of messages, at least 1; got {max_waiting!r:.40}")
        check_text("source of MQTT", source)
        texts = {"address": address, "topic": topic, "user": user, "password": password, "discovery": discovery}
        for name, text in texts.items():
            check_text(f"{name} of MQTT", text)
        files = [None if path is None else as_path(path) for path in (ca_file, certificate, key)]
        broker = parse_address(address, user=user, password=password)
        self._base = camera_topic(broker.topic or topic, source)
        self._topics = DecisionTopics(self._base)
        self._discovery = Discovery(checked_topic(discovery), self._base, source) if discovery else None
        self._source, self._clock, self._wall_clock = source, clock, wall_clock
        self._announced: set[str] = set()
        self._publisher = Publisher(
            broker, availability_topic(self._base), qos=qos, tls=tls_context(broker, *files), max_waiting=max_waiting
        )  # fmt: skip

    @property
    def connected(self) -> bool:
        """Whether the broker has accepted the connection; for any thread."""
        return self._publisher.connected

    def open(self) -> None:
        """Begins to connect, and does not wait for it.

        Raises:
            OutputError: The broker hangs in what the sink sent before it was closed.
        """
        self._announced.clear()
        self._publisher.open()

    def write(self, frame: Frame, decision: Decision) -> None:
        """Takes a decision, without waiting."""
        topic = self._topics.of(decision.name)
        if self._discovery and len(self._announced) < MAX_REGIONS:
            self._announce(f"label {decision.name}", lambda to: to.label(topic, decision.name))
        line = json_line(decision, self._wall_clock(), source=self._source, file=frame.file).rstrip("\n")
        self._publisher.publish(topic, line.encode("utf-8", "replace"))

    def write_event(self, event: Event) -> None:
        """Takes an event, without waiting."""
        self._announce(event.kind, Discovery.connection if event.kind == "connection" else Discovery.health)
        event = replace(event, source=self._source)  # as the decisions have it, and not as the camera is called
        line = event_line(event, self._wall_clock() - (self._clock() - event.time)).rstrip("\n")
        self._publisher.retain(event_topic(self._base, event.kind), line.encode("utf-8", "replace"))

    def close(self) -> None:
        """Sends what waits, for five seconds at most, and ends the connection.

        Raises:
            OutputError: Some messages could not be sent.
        """
        self._publisher.close()

    def _announce(self, key: str, message: Callable[[Discovery], tuple[str, bytes]]) -> None:
        """Tells Home Assistant, once, what is about to be published for the first time."""
        if self._discovery and key not in self._announced:
            self._announced.add(key)
            self._publisher.retain(*message(self._discovery))
