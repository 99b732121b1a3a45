"""Encrypted connections to a real broker: who is trusted, and what is said of who is not."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest
from decisions import decision, frame
from mqtt_broker import WAIT_SECONDS, Broker, broker
from programs import require_program

from allweather.runtimes.errors import OutputError, UsageError
from allweather.runtimes.sinks.mqtt import MqttSink


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an authority (ca), a broker and a client that it has certified, and a stranger."""
    openssl = require_program("openssl", without="encrypted connections to an MQTT broker are not tested")
    folder = tmp_path_factory.mktemp("certificates")

    def make(*arguments: str) -> None:
        subprocess.run([openssl, *arguments], check=True, capture_output=True, cwd=folder)

    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    for name in ("ca", "stranger"):
        make(
            "req",
            "-x509",
            *curve,
            "-keyout",
            f"{name}.key",
            "-out",
            f"{name}.pem",
            "-days",
            "2",
            "-subj",
            f"/CN={name}",
        )
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1")
    for name in ("broker", "client"):
        make("req", *curve, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        make(
            "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
            "-out", f"{name}.pem", "-days", "2", "-extfile", "names",
        )  # fmt: skip
    return folder


def settings(certificates: Path) -> tuple[str, ...]:
    """The settings of a broker that takes only clients whom the authority has certified."""
    return (
        "allow_anonymous true", f"cafile {certificates / 'ca.pem'}", f"certfile {certificates / 'broker.pem'}",
        f"keyfile {certificates / 'broker.key'}", "require_certificate true",
    )  # fmt: skip


def tls(broker: Broker) -> str:
    return broker.address.replace("mqtt://", "mqtts://")


def test_a_certified_client_is_let_in(certificates: Path, tmp_path: Path) -> None:
    with broker(tmp_path, settings(certificates)) as started:
        sink = MqttSink(
            tls(started), ca_file=certificates / "ca.pem", certificate=certificates / "client.pem",
            key=str(certificates / "client.key"),
        )  # fmt: skip
        sink.open()
        end = time.monotonic() + WAIT_SECONDS
        while not sink.connected:
            assert time.monotonic() < end
            time.sleep(0.02)
        sink.write(frame(), decision())
        sink.close()


# paho leaves the socket of a handshake that failed to the garbage collector
@pytest.mark.filterwarnings("ignore:Exception ignored in. <ssl.SSLSocket:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    ("trusted", "certified", "fault"),
    [("stranger", "client", "CERTIFICATE_VERIFY_FAILED"), ("ca", "", "ended before the broker accepted it|required")],
)
def test_a_stranger_is_not_trusted(
    trusted: str, certified: str, fault: str, certificates: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own = {"certificate": certificates / "client.pem", "key": certificates / "client.key"} if certified else {}
    with broker(tmp_path, settings(certificates)) as started:
        sink = MqttSink(tls(started), ca_file=certificates / f"{trusted}.pem", discovery="", **own)
        sink.open()
        sink.write(frame(), decision())
        end = time.monotonic() + WAIT_SECONDS
        while not caplog.records:
            assert time.monotonic() < end
            time.sleep(0.02)
        assert not sink.connected
        with pytest.raises(OutputError, match=f"1 messages are missing at mqtts://.*({fault})"):
            sink.close()


def test_files_that_are_none_are_told_before_anything_is_opened(certificates: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.touch()
    with pytest.raises(OutputError, match=r"cannot connect over TLS: there is no file .*gone\.pem"):
        MqttSink("mqtts://host", ca_file=tmp_path / "gone.pem")
    with pytest.raises(OutputError, match=r"cannot connect over TLS with .*empty\.pem: "):
        MqttSink("mqtts://host", ca_file=empty)
    with pytest.raises(UsageError, match="are for an encrypted connection; write mqtts://"):
        MqttSink("mqtt://host", ca_file=certificates / "ca.pem")
