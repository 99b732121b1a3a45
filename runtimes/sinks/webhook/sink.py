"""`WebhookSink`: decisions and events as POSTs of JSON to a URL."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from allweather.runtimes.cameras.source_text import read_indirect
from allweather.runtimes.errors import OutputError, UsageError
from allweather.runtimes.setting_types import check_text, is_number
from allweather.runtimes.sinks.base import Sink
from allweather.runtimes.sinks.event import Event
from allweather.runtimes.sinks.fault_log import FaultLog
from allweather.runtimes.sinks.outbox import MAX_WAITING, Outbox
from allweather.runtimes.sinks.record import event_line, json_line
from allweather.runtimes.sinks.webhook.delivery import FORM, Receiver
from allweather.runtimes.text import json_line as one_line_of_json
from allweather.runtimes.types import Decision, Frame

BATCH_SIZE = 50  # some 20 kB
TIMEOUT_SECONDS = 10.0
MIN_WAIT_SECONDS, MAX_WAIT_SECONDS = 0.5, 60.0  # between attempts, doubled each time
MAX_DOUBLINGS = 10  # keeps the power of two small; the maximum is reached long before
CLOSE_SECONDS = 5.0  # for what waits to be sent at the end


class WebhookSink(Sink):
    """Posts decisions to a URL, as many at once as came while the last POST was on its way. The loop never waits.

    The body is one JSON object: `source`, a list of `decisions` as the lines of `JsonlSink`, and a list of `events`.
    Each POST has the headers `X-Allweather-Delivery`, an id that stays the same when it is tried again, and
    `X-Allweather-Timestamp`, the seconds since 1970. With a secret, `X-Allweather-Signature` is "sha256=" and the
    HMAC-SHA256, in hexadecimal, of the time stamp, a full stop and the body.

    A POST that fails (no connection, no response in time, 408, 425, 429, 5xx) is tried again until it is accepted:
    after half a second at first and a minute at most, less a random part, so that many cameras do not return at once.
    Meanwhile decisions wait in memory; once there are too many, the oldest are dropped. A POST that is refused (any
    other 4xx) is not tried again. Redirections are not followed. `SSL_CERT_FILE` names further authorities for https.

    Args:
        url: http:// or https://, or env:NAME or file:PATH, the environment variable or file that holds it.
        source: Name of the camera, without passwords.
        secret: What POSTs are signed with; env:NAME or file:PATH, where it is; empty for no signature.
        batch_size: Number of decisions and events of a POST at most.
        timeout: Seconds after which a POST without response has failed.
        max_waiting: Number of decisions that wait at most, some kilobyte each.
        rng: Random generator for the waits between attempts.
        clock: Returns monotonic seconds.
        wall_clock: Returns seconds since 1970, UTC.
    """

    def __init__(
        self,
        url: str,
        *,
        source: str = "camera",
        secret: str = "",
        batch_size: int = BATCH_SIZE,
        timeout: float = TIMEOUT_SECONDS,
        max_waiting: int = MAX_WAITING,
        rng: np.random.Generator | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """Connects to nothing yet.

        Raises:
            UsageError: The URL is none, or a number is out of range.
        """
        for name, value in (("batch_size", batch_size), ("timeout", timeout), ("max_waiting", max_waiting)):
            if not is_number(value) or not 0 < value < float("inf"):
                raise UsageError(f"{name} of a webhook is a number above 0; got {value!r:.40}")
        if not isinstance(batch_size, int | np.integer):
            raise UsageError(f"batch_size of a webhook is a whole number; got {batch_size!r:.40}")
        check_text("the source of a webhook", source)
        check_text("the URL of a webhook", url)
        check_text("the secret of a webhook", secret)
        secret = read_indirect(secret, "secret of the webhook", "it holds one line with the secret")
        self._receiver = Receiver(_read_url(url), secret=secret, timeout=timeout)
        self._source, self._rng = source, rng or np.random.default_rng()
        self._clock, self._wall_clock = clock, wall_clock
        self._faults = FaultLog(str(self._receiver))
        self._refusal = ""  # why something was refused
        self._outbox: Outbox[tuple[str, str]] = Outbox(
            str(self._receiver), self._send, max_waiting=max_waiting, max_batch=batch_size
        )

    def open(self) -> None:
        """Starts the thread that sends.

        Raises:
            OutputError: The receiver hangs in what the sink sent before it was closed.
        """
        self._faults, self._refusal = FaultLog(str(self._receiver)), ""
        self._outbox.start()

    def write(self, frame: Frame, decision: Decision) -> None:
        """Takes a decision, without waiting."""
        self._outbox.put(("decisions", json_line(decision, self._wall_clock(), source=self._source, file=frame.file)))

    def write_event(self, event: Event) -> None:
        """Takes an event, without waiting."""
        event = replace(event, source=self._source)  # as the decisions have it, and not as the camera is called
        self._outbox.put(("events", event_line(event, self._wall_clock() - (self._clock() - event.time))))

    def close(self) -> None:
        """Sends what waits, for five seconds at most.

        Raises:
            OutputError: Some decisions or events could not be sent.
        """
        if lost := self._outbox.close(CLOSE_SECONDS):
            cause = (
                self._faults.fault or self._refusal or self._outbox.failure or "it was too slow or away for too long"
            )
            raise OutputError(f"{lost} decisions or events are missing at {self._receiver}: {cause}")

    def _send(self, lines: Sequence[tuple[str, str]]) -> int:
        """Posts some lines of JSON until they are accepted or refused; returns how many were given up."""
        lists = [
            f'"{kind}": [{", ".join(line.rstrip() for each, line in lines if each == kind)}]'
            for kind in ("decisions", "events")
        ]
        source = one_line_of_json({"source": self._source}).rstrip("}")
        body = f"{source}, {', '.join(lists)}}}".encode("utf-8", "replace")
        delivery, attempts = str(uuid.uuid4()), 0
        while not self._outbox.stopping.is_set():
            outcome = self._receiver.post(body, delivery, self._wall_clock())
            if outcome.kind == "accepted":
                self._faults.clear()
                return 0
            if outcome.kind == "refused":
                self._faults.note(outcome.fault, "these decisions are lost")
                self._refusal = outcome.fault
                return len(lines)
            self._faults.note(outcome.fault, "trying again, and decisions wait until then")
            wait = min(MIN_WAIT_SECONDS * 2**attempts, MAX_WAIT_SECONDS) * self._rng.uniform(0.5, 1.0)
            attempts = min(attempts + 1, MAX_DOUBLINGS)
            self._outbox.stopping.wait(max(wait, outcome.retry_after))
        return len(lines)


def check_url(url: str) -> None:
    """Checks that decisions can be posted to a URL; nothing is sent.

    Args:
        url: http:// or https://, or env:NAME or file:PATH, the environment variable or file that holds it.

    Raises:
        UsageError: It is none.
    """
    Receiver(_read_url(url), secret="", timeout=TIMEOUT_SECONDS)


def _read_url(url: str) -> str:
    return read_indirect(url, "URL of the webhook", FORM)
