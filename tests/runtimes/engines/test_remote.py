"""An engine on a server: the right answers, in time or not at all, whatever the server does."""

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
from allweather.runtimes.engines.registry import Engine, open_engine
from allweather.runtimes.engines.remote import RemoteEngine
from allweather.runtimes.errors import EngineError, EngineTimeoutError, UsageError
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.types import Image

SPEC = InputSpec(32, 32)
SIGNATURE = kserve.Signature("images", "logits", (32, 32, 3), 2)


@pytest.fixture(scope="module")
def bundle(sample_bundle: Path) -> Bundle:
    return Bundle.open(sample_bundle)


@pytest.fixture(scope="module")
def repository(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("repository") / "triton"
    write_repository(bundle, "triton", out)
    return out


@pytest.fixture(scope="module")
def here(bundle: Bundle) -> Engine:
    return open_engine(bundle, "onnx")[0]


@pytest.fixture
def server(repository: Path, serve: Callable[[Path], Any]) -> Iterator[Any]:
    with serve(repository) as running:
        yield running


@pytest.fixture
def there(server: Any) -> Iterator[RemoteEngine]:
    engine = RemoteEngine(server.address, "classifier", SPEC, 10, seconds=2)
    yield engine
    engine.close()


def pictures(count: int, seed: int = 0) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (count, 32, 32, 3), np.uint8)


def one_line(error: BaseException) -> str:
    assert str(error).isprintable(), str(error)
    assert len(str(error)) < 600
    return str(error)


@pytest.mark.parametrize("count", [1, 2, 12, 32])
def test_it_answers_as_the_engine_here_does(there: RemoteEngine, here: Engine, count: int) -> None:
    images = pictures(count)
    got = there.run(images[:, :, ::-1])
    assert (got.dtype, got.shape) == (np.float32, (count, 10))
    np.testing.assert_array_equal(got, here.run(np.ascontiguousarray(images[:, :, ::-1])))


def test_one_connection_serves_all_calls_and_is_renewed_when_the_server_closed_it(
    there: RemoteEngine, server: Any
) -> None:
    for count in (1, 2, 3):
        there.run(pictures(count))
    assert server.mischief.connections == 1
    server.mischief.hang_up = True
    for _ in range(3):
        assert there.run(pictures(1)).shape == (1, 10)
    assert server.mischief.connections == 3


@pytest.mark.parametrize("mischief", [{"delay": 3}, {"drip": 0.02}], ids=["stalls", "drips"])
def test_a_call_ends_in_time_and_the_next_one_is_as_good_as_new(
    there: RemoteEngine, server: Any, here: Engine, mischief: dict[str, float]
) -> None:
    left = [0.15]
    there._left = lambda: left[0]
    for name, value in mischief.items():
        setattr(server.mischief, name, value)
    began = time.monotonic()
    with pytest.raises(EngineTimeoutError, match=r"127.0.0.1:\d+ classifier: no answer within 150 ms$"):
        there.run(pictures(1))
    assert time.monotonic() - began < 1
    server.mischief.delay = server.mischief.drip = 0
    left[0] = 2
    np.testing.assert_array_equal(there.run(pictures(1, 7)), here.run(pictures(1, 7)))


def test_without_time_left_nothing_is_asked(there: RemoteEngine, server: Any) -> None:
    there._left = lambda: -0.5
    with pytest.raises(EngineTimeoutError, match="no answer within 0 ms"):
        there.run(pictures(1))
    assert server.mischief.batches == []


def test_a_server_that_is_gone_is_said(repository: Path, serve: Callable[[Path], Any]) -> None:
    with serve(repository) as running:
        engine = RemoteEngine(running.address, "classifier", SPEC, 10)
        assert engine.infer(pictures(1)).shape == (1, 10)
    for _ in range(2):
        with pytest.raises(EngineError, match=r"127.0.0.1:\d+ classifier: .*see that the server runs there") as caught:
            engine.infer(pictures(1))
        one_line(caught.value)
    engine.close()
    engine.close()


def test_a_host_that_takes_no_connection_is_given_up_in_time(unused_port: int) -> None:
    with pytest.raises(EngineError, match=r"refused.*see that the server runs there and speaks HTTP"):
        RemoteEngine(f"http://127.0.0.1:{unused_port}", "classifier", SPEC, 10)
    with pytest.raises(EngineError, match="check the name of the host"):
        RemoteEngine("http://no-such-host.invalid:8000", "classifier", SPEC, 10)


@pytest.fixture
def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_listener_that_never_answers_is_given_up_in_time() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        began = time.monotonic()
        with pytest.raises(EngineTimeoutError, match="no answer within 200 ms"):
            RemoteEngine(f"http://127.0.0.1:{silent.getsockname()[1]}", "classifier", SPEC, 10, seconds=0.2)
        assert time.monotonic() - began < 1


def test_what_is_refused_says_why_in_one_line(there: RemoteEngine, server: Any) -> None:
    for images in (pictures(33), pictures(1)[:, :9]):
        with pytest.raises(EngineError, match=r"refused: 400 unexpected shape \[") as caught:
            there.run(images)
        one_line(caught.value)
    assert there.run(pictures(1)).shape == (1, 10)
    with pytest.raises(EngineError, match=r"refused: 404 Request for unknown model: '/v2/models/no%2Fsuch%20model'"):
        RemoteEngine(server.address, "no/such model", SPEC, 10)
    with pytest.raises(EngineError, match=r"takes \[32, 32, 3\] and gives 12 numbers, where \[32, 32, 3\] and 10 are"):
        RemoteEngine(server.address, "predictor", SPEC, 10)
    with pytest.raises(EngineError, match=r"where \[64, 32, 3\] and 10 are wanted"):
        RemoteEngine(server.address, "classifier", InputSpec(64, 32), 10)


def test_a_huge_answer_is_not_read_to_its_end(there: RemoteEngine, server: Any) -> None:
    server.mischief.body = b"[" + b" " * 50_000_000
    with pytest.raises(EngineError, match=r"answers with more than \d{5} bytes"):
        there.run(pictures(1))
    server.mischief.body = None
    assert there.run(pictures(1)).shape == (1, 10)


def wire(raw: bytes) -> str:
    """The address of a listener that sends these bytes to whoever connects first, and hangs up."""
    listener = socket.create_server(("127.0.0.1", 0))

    def answer() -> None:
        with listener:
            taken, _ = listener.accept()
            with taken:
                taken.recv(1 << 16)
                taken.sendall(raw)

    threading.Thread(target=answer, daemon=True).start()
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
        b"HTTP/1.1 302 Found\r\nLocation: http://elsewhere/\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 500 Oh\r\nContent-Length: 20\r\n\r\n" + b'{"error": "a\x07b\\nc"}',
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + b"[" * 200_000,
    ],
)
def test_what_speaks_something_else_gets_one_clear_line(raw: bytes) -> None:
    with pytest.raises(EngineError) as caught:
        RemoteEngine(wire(raw), "classifier", SPEC, 10, seconds=2)
    assert "see that" in one_line(caught.value)


@pytest.mark.parametrize(
    "address",
    ["", "host:8000", "https://host:8000", "http://", "http://host:99999", "http://my host:80", "http://host:0",
     "http://host:8000/v2", "http://host?a=b",
     "http://me:secret@host:8000", "ftp://secret@host", "http://[::1", "file:///etc/passwd"],
)  # fmt: skip
def test_an_address_that_is_none_is_refused_and_not_repeated(address: str) -> None:
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


@given(said=JSON | st.fixed_dictionaries({"outputs": st.lists(OUTPUT, max_size=2)}))
def test_any_json_is_an_answer_of_finite_numbers_or_an_error(said: object) -> None:
    text = json.dumps(said).encode()
    for read in (lambda: kserve.read_answer(text, SIGNATURE, 1, "x"), lambda: kserve.read_signature(text, "x")):
        try:
            found = read()
        except EngineError as error:
            one_line(error)
        else:
            assert isinstance(found, kserve.Signature) or (found.shape == (1, 2) and np.isfinite(found).all())


@given(text=st.binary(max_size=60))
def test_any_bytes_are_read_without_harm(text: bytes) -> None:
    with pytest.raises(EngineError) as caught:
        kserve.read_answer(text, SIGNATURE, 1, "x")
    one_line(caught.value)
    assert kserve.refusal(500, text).isprintable()
