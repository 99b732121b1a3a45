"""An engine on a server: correct outputs, in time or an error, whatever the server does."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from allweather.exporters.serving.repository import write_repository
from allweather.runtimes.bundle.bundle import Bundle
from allweather.runtimes.engines import kserve
from allweather.runtimes.engines.base import Engine
from allweather.runtimes.engines.open import open_engine
from allweather.runtimes.engines.remote import RemoteEngine
from allweather.runtimes.errors import EngineError, EngineTimeoutError, UsageError
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.types import Image

SPEC = InputSpec(32, 32)
METADATA = kserve.ModelMetadata("images", "logits", (32, 32, 3), 2)


@pytest.fixture(scope="module")
def bundle(sample_bundle: Path) -> Bundle:
    return Bundle.open(sample_bundle)


@pytest.fixture(scope="module")
def repository(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("repository") / "triton"
    write_repository(bundle, "triton", out)
    return out


@pytest.fixture(scope="module")
def local_engine(bundle: Bundle) -> Engine:
    return open_engine(bundle, "onnx")[0]


@pytest.fixture
def server(repository: Path, serve: Callable[[Path], Any]) -> Iterator[Any]:
    with serve(repository) as running:
        yield running


@pytest.fixture
def remote_engine(server: Any) -> Iterator[RemoteEngine]:
    engine = RemoteEngine(server.address, "classifier", SPEC, 10, call_seconds=2)
    yield engine
    engine.close()


def random_images(count: int, seed: int = 0) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (count, 32, 32, 3), np.uint8)


def one_line(error: BaseException) -> str:
    assert str(error).isprintable(), str(error)
    assert len(str(error)) < 600
    return str(error)


@pytest.mark.parametrize("count", [1, 2, 12, 32])
@pytest.mark.slow
def test_it_gives_the_same_outputs_as_an_engine_here(
    remote_engine: RemoteEngine, local_engine: Engine, count: int
) -> None:
    images = random_images(count)
    logits = remote_engine.infer(images[:, :, ::-1])
    assert (logits.dtype, logits.shape) == (np.float32, (count, 10))
    np.testing.assert_array_equal(logits, local_engine.infer(np.ascontiguousarray(images[:, :, ::-1])))


@pytest.mark.slow
def test_one_connection_serves_all_calls_and_is_renewed_when_the_server_closed_it(
    remote_engine: RemoteEngine, server: Any
) -> None:
    for count in (1, 2, 3):
        remote_engine.infer(random_images(count))
    assert server.faults.connections == 1
    server.faults.hang_up = True
    for _ in range(3):
        assert remote_engine.infer(random_images(1)).shape == (1, 10)
    assert server.faults.connections == 3


@pytest.mark.parametrize("faults", [{"delay": 3}, {"drip": 0.02}], ids=["stalls", "drips"])
@pytest.mark.slow
def test_a_call_ends_in_time_and_the_next_one_succeeds(
    remote_engine: RemoteEngine, server: Any, local_engine: Engine, faults: dict[str, float]
) -> None:
    seconds_left = [0.15]
    remote_engine._seconds_left = lambda: seconds_left[0]
    for name, value in faults.items():
        setattr(server.faults, name, value)
    started = time.monotonic()
    with pytest.raises(EngineTimeoutError, match=r"127.0.0.1:\d+ classifier: no response within 150 ms$"):
        remote_engine.infer(random_images(1))
    assert time.monotonic() - started < 1
    server.faults.delay = server.faults.drip = 0
    seconds_left[0] = 2
    np.testing.assert_array_equal(remote_engine.infer(random_images(1, 7)), local_engine.infer(random_images(1, 7)))


@pytest.mark.slow
def test_without_time_left_no_request_is_sent(remote_engine: RemoteEngine, server: Any) -> None:
    remote_engine._seconds_left = lambda: -0.5
    with pytest.raises(EngineTimeoutError, match="no response within 0 ms"):
        remote_engine.infer(random_images(1))
    assert server.faults.batches == []


def test_a_server_that_is_gone_is_an_error(repository: Path, serve: Callable[[Path], Any]) -> None:
    with serve(repository) as running:
        engine = RemoteEngine(running.address, "classifier", SPEC, 10)
        assert engine.infer(random_images(1)).shape == (1, 10)
    for _ in range(2):
        with pytest.raises(
            EngineError, match=r"127.0.0.1:\d+ classifier: .*check that the server runs there"
        ) as caught:
            engine.infer(random_images(1))
        one_line(caught.value)
    engine.close()
    engine.close()


def test_a_host_that_accepts_no_connection_is_an_error(unused_port: int) -> None:
    with pytest.raises(EngineError, match=r"refused.*check that the server runs there and speaks HTTP"):
        RemoteEngine(f"http://127.0.0.1:{unused_port}", "classifier", SPEC, 10)
    with pytest.raises(EngineError, match="check the name of the host"):
        RemoteEngine("http://no-such-host.invalid:8000", "classifier", SPEC, 10)


@pytest.fixture
def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_listener_that_never_responds_times_out() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        started = time.monotonic()
        with pytest.raises(EngineTimeoutError, match="no response within 200 ms"):
            RemoteEngine(f"http://127.0.0.1:{silent.getsockname()[1]}", "classifier", SPEC, 10, call_seconds=0.2)
        assert time.monotonic() - started < 1


@pytest.mark.slow
def test_a_refused_request_gives_the_reason_in_one_line(remote_engine: RemoteEngine, server: Any) -> None:
    for images in (random_images(33), random_images(1)[:, :9]):
        with pytest.raises(EngineError, match=r"refuses the request: 400 unexpected shape \[") as caught:
            remote_engine.infer(images)
        one_line(caught.value)
    assert remote_engine.infer(random_images(1)).shape == (1, 10)
    with pytest.raises(EngineError, match=r"refuses the request: 404 .*/v2/models/no%2Fsuch%20model"):
        RemoteEngine(server.address, "no/such model", SPEC, 10)
    with pytest.raises(EngineError, match=r"gives 12 numbers, but must take \[32, 32, 3\] and give 10"):
        RemoteEngine(server.address, "predictor", SPEC, 10)
    with pytest.raises(EngineError, match=r"must take \[64, 32, 3\] and give 10"):
        RemoteEngine(server.address, "classifier", InputSpec(64, 32), 10)


@pytest.mark.slow
def test_a_huge_response_is_not_read_to_its_end(remote_engine: RemoteEngine, server: Any) -> None:
    server.faults.body = b"[" + b" " * 50_000_000
    with pytest.raises(EngineError, match=r"more than \d{5} bytes"):
        remote_engine.infer(random_images(1))
    server.faults.body = None
    assert remote_engine.infer(random_images(1)).shape == (1, 10)


def listener_that_sends(raw: bytes) -> str:
    """The address of a listener that sends these bytes to the first client and closes the connection."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with listener:
            client, _ = listener.accept()
            with client:
                client.recv(1 << 16)
                client.sendall(raw)

    threading.Thread(target=serve, daemon=True).start()
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\0\xff" * 99,
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\n{}",  # a ValueError of Python's client
        b"HTTP/1.1 302 Found\r\nLocation: http://elsewhere/\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 500 Oh\r\nContent-Length: 20\r\n\r\n" + b'{"error": "a\x07b\\nc"}',
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + b"[" * 200_000,
    ],
)
def test_another_protocol_is_one_clear_line(raw: bytes) -> None:
    with pytest.raises(EngineError) as caught:
        RemoteEngine(listener_that_sends(raw), "classifier", SPEC, 10, call_seconds=2)
    assert "check that" in one_line(caught.value)


def test_a_chunk_without_an_end_is_not_read() -> None:
    raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n" + b"[" * 200_000  # -1: all there is
    with pytest.raises(EngineError, match=r"IncompleteRead\(0 bytes read\)"):
        RemoteEngine(listener_that_sends(raw), "classifier", SPEC, 10, call_seconds=2)


def test_what_a_server_sent_is_shown_printable() -> None:
    with pytest.raises(EngineError) as caught:
        kserve.read_metadata(
            b'{"inputs": [{"name": "a", "shape": [1, 8, 8, 3], "datatype": "\\ud800\\u001b"}],'
            b' "outputs": [{"name": "b", "shape": [1, 2], "datatype": "FP32"}]}', "server"
        )  # fmt: skip
    assert "takes ?? and gives FP32" in str(caught.value)


@pytest.mark.parametrize(
    "address",
    ["", "host:8000", "https://host:8000", "http://", "http://host:99999", "http://my host:80", "http://host:0",
     "http://host:8000/v2", "http://host?a=b",
     "http://me:secret@host:8000", "ftp://secret@host", "http://[::1", "file:///etc/passwd"],
)  # fmt: skip
def test_an_invalid_address_is_refused_and_not_repeated(address: str) -> None:
    with pytest.raises(UsageError, match="a server's address is http://HOST:PORT") as caught:
        RemoteEngine(address, "classifier", SPEC, 10)
    assert "secret" not in one_line(caught.value)


KEYS = st.sampled_from(["outputs", "inputs", "name", "shape", "datatype", "data"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(KEYS, inner),
    max_leaves=12,
)
NUMBERS = st.lists(st.floats() | st.integers() | st.booleans(), max_size=3)
OUTPUT = st.fixed_dictionaries(
    {
        "name": st.just("logits"),
        "datatype": st.sampled_from(["FP32", "BYTES"]),
        "shape": st.just([1, 2]) | JSON,
        "data": NUMBERS | JSON,
    }
)


@given(response=JSON | st.fixed_dictionaries({"outputs": st.lists(OUTPUT, max_size=2)}))
@pytest.mark.slow
def test_any_json_is_finite_outputs_or_an_error(response: object) -> None:
    text = json.dumps(response).encode()
    for read in (lambda: kserve.decode_response(text, METADATA, 1, "x"), lambda: kserve.read_metadata(text, "x")):
        try:
            result = read()
        except EngineError as error:
            one_line(error)
        else:
            assert isinstance(result, kserve.ModelMetadata) or (result.shape == (1, 2) and np.isfinite(result).all())


@given(text=st.binary(max_size=60))
def test_any_bytes_are_read_without_harm(text: bytes) -> None:
    with pytest.raises(EngineError) as caught:
        kserve.decode_response(text, METADATA, 1, "x")
    one_line(caught.value)
    assert kserve.error_text(500, text).isprintable()
