"""`MqttAddress`: which broker decisions go to, as whom, and over which kind of connection."""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from allweather.runtimes.cameras.source_text import check_utf8, read_indirect, unquoted
from allweather.runtimes.errors import OutputError, UsageError, first_line
from allweather.runtimes.redaction import redacted

FORM = "mqtt://HOST:PORT/TOPIC, or mqtts:// for TLS"
PORTS = {"mqtt": 1883, "mqtts": 8883}
_HOST = re.compile(r"[\w.-]{1,253}|[0-9a-fA-F:.]+(?:%\w+)?")


@dataclass(frozen=True)
class MqttAddress:
    """Where a broker is.

    Attributes:
        host: Its name or IP address.
        port: Its port.
        tls: Whether the connection is encrypted.
        topic: Topic in the address; empty if it has none.
        user: Name of the user; empty for none.
        password: Password; not a part of `repr` or `str`.
    """

    host: str
    port: int
    tls: bool
    topic: str = ""
    user: str = ""
    password: str = field(default="", repr=False)

    def __str__(self) -> str:
        """Returns the address as messages show it, without user and password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'mqtts' if self.tls else 'mqtt'}://{host}:{self.port}"


def parse_address(
    text: str, *, user: str = "", password: str = "", environment: Mapping[str, str] = os.environ
) -> MqttAddress:
    """Parses the address of a broker.

    Args:
        text: mqtt://[USER[:PASSWORD]@]HOST[:PORT][/TOPIC], or mqtts:// for TLS; or env:NAME or file:PATH, where it is.
        user: Name of the user, instead of the one in the address.
        password: Password, instead of the one in the address; env:NAME or file:PATH, where it is.
        environment: The environment variables.

    Raises:
        UsageError: It is no such address, or cannot be read.
    """
    text = read_indirect(text, "address of the broker", f"it holds one line, {FORM}", environment)
    password = read_indirect(password, "password of the broker", "it holds one line with a password", environment)
    wrong = UsageError(f"the address of an MQTT broker is {FORM}; got {redacted(text)}")
    try:
        parts: SplitResult = urlsplit(text)
        port = parts.port
    except ValueError:  # such as a port that is no number
        raise wrong from None
    host = parts.hostname or ""
    if parts.scheme not in PORTS or not _HOST.fullmatch(host) or port == 0 or "?" in text or "#" in text:
        raise wrong
    check_utf8(user, "the user of the broker", "write the name in UTF-8")
    user = user or unquoted(parts.username or "", "the user of the broker")
    password = password or unquoted(parts.password or "", "the password of the broker")
    if password and not user:
        raise UsageError("MQTT has no password without the name of a user; name one, as in mqtt://USER@HOST")
    return MqttAddress(
        host=host,
        port=port or PORTS[parts.scheme],
        tls=parts.scheme == "mqtts",
        topic=unquoted(parts.path, "the topic").strip("/"),
        user=user,
        password=password,
    )


def tls_context(
    broker: MqttAddress, ca_file: Path | None, certificate: Path | None, key: Path | None
) -> ssl.SSLContext | None:
    """Returns what an encrypted connection is checked by: the broker must have a certificate for its name.

    Args:
        broker: The broker.
        ca_file: PEM file of the authorities that are trusted; None for those of the system.
        certificate: PEM file of the client's own certificate; None for none.
        key: PEM file of its private key; None if it is in the file of the certificate.

    Returns:
        None for a connection that is not encrypted.

    Raises:
        UsageError: There are files, and the connection is not encrypted.
        OutputError: A file is missing or holds no such thing.
    """
    if not broker.tls:
        if ca_file or certificate or key:
            raise UsageError("ca_file, certificate and key are for an encrypted connection; write mqtts://")
        return None
    for path in (ca_file, certificate, key):
        if path is not None and not path.is_file():
            raise OutputError(f"cannot connect over TLS: there is no file {path}")
    try:
        context = ssl.create_default_context(cafile=ca_file)
        if certificate is not None:
            context.load_cert_chain(certificate, key)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        named = ", ".join(str(path) for path in (ca_file, certificate, key) if path is not None)
        raise OutputError(f"cannot connect over TLS with {named}: {first_line(error)}") from error
    return context
