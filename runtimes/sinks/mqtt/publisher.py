"""`Publisher`: a connection to an MQTT broker that comes back by itself, and the messages that wait for it."""

from __future__ import annotations

import ssl
import sys
import threading
import time
import uuid
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode

from allweather.runtimes.errors import OutputError, first_line
from allweather.runtimes.sinks.fault_log import FaultLog
from allweather.runtimes.sinks.mqtt.address import MqttAddress
from allweather.runtimes.sinks.outbox import Outbox

WINDOW = 20  # messages that the broker has not confirmed yet; paho sends as many at once by default
KEEPALIVE_SECONDS = 20  # without a sign of life for one and a half times as long, the connection counts as lost
MIN_WAIT_SECONDS, MAX_WAIT_SECONDS = 1, 60  # between attempts to connect, doubled each time
POLL_SECONDS = 0.5
CLOSE_SECONDS = 5.0  # for what waits to be sent at the end
GOODBYE_SECONDS = 1.0  # for the last message and the end of the connection
SLOW = "it was too slow or away for too long"
ONLINE, OFFLINE = b"online", b"offline"


@dataclass(frozen=True)
class Message:
    """A message to a topic. A retained one is what the broker tells whoever subscribes later."""

    topic: str
    payload: bytes
    retain: bool = False


class Publisher:
    """Publishes messages without letting the caller wait.

    While the broker is away, messages wait in an `Outbox`, and its newest retained messages are told again once it is
    back, as a broker may have forgotten them. The broker itself says "offline" in the topic of availability when the
    connection is lost (the last will).

    Args:
        address: Where the broker is, and as whom to connect.
        availability: Topic that says "online" or "offline".
        qos: 0 (a message may be lost with the connection), 1 (may come twice) or 2 (comes once).
        tls: What an encrypted connection is checked by; None for one that is not encrypted.
        max_waiting: Number of messages that wait at most.
    """

    def __init__(
        self, address: MqttAddress, availability: str, *, qos: int, tls: ssl.SSLContext | None, max_waiting: int
    ) -> None:
        self._address, self._availability, self._qos = address, availability, qos
        self._outbox: Outbox[Message] = Outbox(str(address), self._send, max_waiting=max_waiting)
        self._tls, self._closed = tls, False
        self._changed = threading.Condition()  # never held while paho is called, whose locks its callbacks hold
        self._begin()

    def _begin(self) -> None:
        """Begins without connection and messages, at first and when the sink is opened again."""
        self._retained: dict[str, Message] = {}  # the newest of each topic
        self._connected = False
        self._faults = FaultLog(str(self._address))
        self._refused = False  # whether the broker has answered the last attempt with a refusal
        self._confirmed: deque[int] = deque()  # ids of messages, added by paho's thread, taken by that of the outbox
        self._cut = False  # whether the connection was lost, with what was not written yet
        self._unconfirmed: dict[int, Message] = {}  # used by the thread of the outbox alone; in the end by `close`
        self._client = self._new_client()

    def _new_client(self) -> paho.Client:
        # A name of its own at each start, as a broker cuts off the one of two clients that had the name first.
        client = paho.Client(CallbackAPIVersion.VERSION2, f"allweather-{uuid.uuid4().hex[:16]}")
        client.max_inflight_messages_set(WINDOW)
        client.reconnect_delay_set(MIN_WAIT_SECONDS, MAX_WAIT_SECONDS)
        client.will_set(self._availability, OFFLINE, qos=1, retain=True)
        if self._address.user or self._address.password:
            client.username_pw_set(self._address.user, self._address.password or None)
        if self._tls is not None:
            client.tls_set_context(self._tls)
        client.on_connect, client.on_connect_fail = self._on_connect, self._on_connect_fail
        client.on_disconnect, client.on_publish = self._on_disconnect, self._on_publish
        return client

    @property
    def connected(self) -> bool:
        """Whether the broker has accepted the connection; for any thread."""
        return self._connected

    def open(self) -> None:
        """Begins to connect, and does not wait for it: a camera must start while its broker is away.

        Raises:
            OutputError: The broker hangs in what was sent before the publisher was closed.
        """
        self._outbox.start()
        if self._closed:
            self._closed = False
            self._begin()
        self._client.connect_async(self._address.host, self._address.port, KEEPALIVE_SECONDS)
        self._client.loop_start()

    def publish(self, topic: str, payload: bytes) -> None:
        """Takes a message, without waiting."""
        self._outbox.put(Message(topic, payload))

    def retain(self, topic: str, payload: bytes) -> None:
        """Takes a message that the broker is to tell whoever subscribes later, without waiting."""
        message = Message(topic, payload, retain=True)
        with self._changed:
            self._retained[topic] = message
        self._outbox.put(message)

    def close(self) -> None:
        """Sends what waits, for some seconds at most, says "offline", and ends the connection.

        Raises:
            OutputError: Some messages could not be sent.
        """
        deadline = time.monotonic() + CLOSE_SECONDS
        is_connecting = not self._faults.fault  # for the first time, as a short run may end before it is done
        lost = self._outbox.close(CLOSE_SECONDS if self._connected or is_connecting else 0.0)
        while self._note_confirmed() and self._connected and time.monotonic() < deadline:
            with self._changed:
                self._changed.wait(0.05)
        lost += len(self._unconfirmed)
        cause = (
            self._faults.fault
            or self._outbox.failure
            or (SLOW if self._connected else "the broker has not been reached")
        )
        if self._connected:
            goodbye = self._client.publish(self._availability, OFFLINE, qos=1, retain=True)
            if goodbye.rc == MQTTErrorCode.MQTT_ERR_SUCCESS:
                goodbye.wait_for_publish(GOODBYE_SECONDS)
        self._closed = True
        self._client.disconnect()
        # In a thread of its own, as it waits for one that may hang in a look-up of the host's name.
        ending = threading.Thread(target=self._client.loop_stop, daemon=True)
        ending.start()
        ending.join(GOODBYE_SECONDS)
        self._client.on_connect = self._client.on_connect_fail = None  # of a look-up that hangs, and ends later
        self._client.on_disconnect = self._client.on_publish = None
        if lost:
            raise OutputError(f"{lost} messages are missing at {self._address}: {cause}")

    def _send(self, messages: Sequence[Message]) -> int:
        """Hands a message to paho once the broker is there and has confirmed enough; returns how many were given up."""
        pending = deque(messages)
        while not self._outbox.stopping.is_set():
            self._note_confirmed()
            if self._cut and self._qos == 0:  # what paho had not written yet, it has dropped
                self._cut = False
                pending.extendleft(reversed(self._unconfirmed.values()))
                self._unconfirmed.clear()
            while pending and self._connected and len(self._unconfirmed) < WINDOW and self._hand_over(pending[0]):
                pending.popleft()
            if not pending:
                return 0
            with self._changed:
                if not self._confirmed:
                    self._changed.wait(POLL_SECONDS)
        return len(pending)

    def _hand_over(self, message: Message) -> bool:
        """Hands a message to paho; returns whether paho has it now."""
        info = self._client.publish(message.topic, message.payload, self._qos_of(message), message.retain)
        is_kept = info.rc == MQTTErrorCode.MQTT_ERR_NO_CONN and self._qos_of(message) > 0  # until there is a connection
        if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS and not is_kept:
            return False
        self._unconfirmed[info.mid] = message
        return True

    def _qos_of(self, message: Message) -> int:
        return max(1, self._qos) if message.retain else self._qos

    def _note_confirmed(self) -> int:
        """Forgets the messages that the broker has confirmed; returns how many it has not."""
        while self._confirmed:
            self._unconfirmed.pop(self._confirmed.popleft(), None)
        return len(self._unconfirmed)

    def _note_connection(self, connected: bool, fault: str = "") -> None:
        if fault:
            self._faults.note(fault, "trying again, and decisions wait until then")
        elif connected:
            self._faults.clear()
        with self._changed:
            self._cut = self._cut or (self._connected and not connected)
            self._connected = connected
            self._changed.notify_all()

    # paho's thread calls these.

    def _on_connect(self, client: paho.Client, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        self._refused = reason.is_failure
        if reason.is_failure:
            self._note_connection(False, f"the broker refuses the connection ({str(reason).lower()})")
            return
        client.publish(self._availability, ONLINE, qos=1, retain=True)
        with self._changed:
            retained = list(self._retained.values())
        for message in retained:
            client.publish(message.topic, message.payload, qos=1, retain=True)
        self._note_connection(True)

    def _on_connect_fail(self, client: paho.Client, data: Any) -> None:
        self._refused = False
        error = sys.exc_info()[1]  # paho calls this while it handles the error, and does not tell it
        self._note_connection(False, f"cannot connect ({first_line(error) if error else 'no reason is told'})")

    def _on_disconnect(self, client: paho.Client, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        if self._refused:  # told already
            return
        lost = "was lost" if self._connected else "ended before the broker accepted it"
        self._note_connection(False, f"the connection to the broker {lost}" if reason.is_failure else "")

    def _on_publish(self, client: paho.Client, data: Any, message_id: int, reason: Any, properties: Any) -> None:
        with self._changed:
            self._confirmed.append(message_id)
            self._changed.notify_all()
