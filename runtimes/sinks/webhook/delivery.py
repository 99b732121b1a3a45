"""`Receiver`: one POST of JSON to a URL, signed, and what became of it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import re
import urllib.error
import urllib.request
from dataclasses import dataclass
from email.message import Message
from typing import Literal
from urllib.parse import urlsplit, urlunsplit

from allweather.runtimes.cameras.source_text import unquoted
from allweather.runtimes.errors import UsageError, first_line
from allweather.runtimes.redaction import redacted

FORM = "a webhook is http:// or https:// with a host, in ASCII without blanks, such as https://host/path"
MAX_RETRY_AFTER_SECONDS = 300.0
# May well be accepted later: too early, too many, a time-out, and whatever is wrong with the receiver itself (5xx).
TEMPORARY = frozenset({408, 425, 429})
_URL = re.compile(r"[!-~]+")


@dataclass(frozen=True)
class Outcome:
    """What became of a POST.

    Attributes:
        kind: "accepted"; "refused", which trying again would not change; or "failed", which it may.
        fault: Why it was not accepted.
        retry_after: Seconds that the receiver asks to wait; 0 if it does not.
    """

    kind: Literal["accepted", "refused", "failed"]
    fault: str = ""
    retry_after: float = 0.0


class Receiver:
    """Whoever takes the POSTs.

    A redirection is not followed, as it would take decisions and signature to somebody who was not named.

    Args:
        url: http:// or https://; a user and a password in it are sent as basic authentication.
        secret: What the signature is made with; empty for no signature.
        timeout: Seconds without a sign of life after which a POST has failed.

    Raises:
        UsageError: It is no such URL.
    """

    def __init__(self, url: str, *, secret: str, timeout: float) -> None:
        wrong = UsageError(f"{FORM}; got {redacted(url)}")
        try:
            parts = urlsplit(url)
            is_usable = bool(parts.hostname) and parts.port != 0
        except ValueError:  # such as a port that is no number
            raise wrong from None
        if parts.scheme not in ("http", "https") or not is_usable or not _URL.fullmatch(url):
            raise wrong
        hidden = "/***" if parts.path.strip("/") or parts.query else ""  # whoever knows the path may be let in by it
        self._shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{hidden}"
        self._url = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment=""))
        self._secret, self._timeout = secret.encode(), timeout
        self._headers = {"Content-Type": "application/json", "User-Agent": "allweather"}
        if parts.username is not None:
            user, password = parts.username, parts.password or ""
            login = f"{unquoted(user, 'the user of the webhook')}:{unquoted(password, 'the password of the webhook')}"
            self._headers["Authorization"] = f"Basic {base64.b64encode(login.encode()).decode()}"
        self._opener = _opener()

    def __str__(self) -> str:
        """Returns the URL as messages show it, without what may be secret: user, password and path."""
        return self._shown

    def post(self, body: bytes, delivery: str, time: float) -> Outcome:
        """Sends a body of JSON and waits for what the receiver says.

        Args:
            body: The body.
            delivery: Id of the body, the same at each attempt, by which the receiver knows one that it has already.
            time: Seconds since 1970.
        """
        timestamp = str(int(time))
        headers = {**self._headers, "X-Allweather-Delivery": delivery, "X-Allweather-Timestamp": timestamp}
        if self._secret:
            headers["X-Allweather-Signature"] = f"sha256={signature(self._secret, timestamp, body)}"
        request = urllib.request.Request(self._url, body, headers, method="POST")  # noqa: S310 -- http or https
        try:
            with self._opener.open(request, timeout=self._timeout):
                return Outcome("accepted")
        except urllib.error.HTTPError as error:
            with error:
                return _outcome(error.code, error.headers)
        except (OSError, http.client.HTTPException, UnicodeError) as error:  # URLError is an OSError
            if isinstance(error, http.client.BadStatusLine | http.client.UnknownProtocol) and not isinstance(
                error, OSError
            ):
                return Outcome("failed", f"it does not speak HTTP, but says: {first_line(error)}")
            reason = error.reason if isinstance(error, urllib.error.URLError) else error
            return Outcome("failed", first_line(reason) if isinstance(reason, BaseException) else str(reason))


def signature(secret: bytes, timestamp: str, body: bytes) -> str:
    """Returns the signature of a POST: HMAC-SHA256, in hexadecimal, of time stamp, full stop and body.

    The time stamp is signed, too, so that a receiver can refuse what somebody has recorded and sends again later.
    """
    return hmac.new(secret, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def _opener() -> urllib.request.OpenerDirector:
    """Returns what opens http and https; a redirection, which may lead to no URL at all, becomes an HTTPError."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler, urllib.request.HTTPHandler, urllib.request.HTTPSHandler,
        urllib.request.HTTPErrorProcessor, urllib.request.HTTPDefaultErrorHandler,
    ):  # fmt: skip
        opener.add_handler(handler())
    return opener


def _outcome(status: int, headers: Message) -> Outcome:
    """Returns what a status that is no success means."""
    said = f"{status} {http.client.responses.get(status, '')}".strip()
    if status in TEMPORARY or status >= http.HTTPStatus.INTERNAL_SERVER_ERROR:
        after = headers.get("Retry-After", "")
        seconds = float(after) if re.fullmatch("[0-9]{1,9}", after) else 0.0  # it may also be a date
        return Outcome("failed", said, min(seconds, MAX_RETRY_AFTER_SECONDS))
    if status < http.HTTPStatus.BAD_REQUEST:
        return Outcome("refused", f"{said}, which is not followed; name the URL to which it leads")
    return Outcome("refused", said)
