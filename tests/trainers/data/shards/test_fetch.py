"""Shards of web servers are fetched once, and whatever goes wrong is one line that shows no password."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler
from pathlib import Path
from typing import IO

import pytest
import torch
from shard_data import Handler, Server, paint_folder, samples_of, served, write_shard, write_split

from allweather.runtimes.errors import AllweatherError, DataError, OutputError
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.data.registry import dataset_classes, open_dataset
from allweather.trainers.data.shards import fetch, http_client
from allweather.trainers.data.streamed.reading import Reading

PATTERN = "{train-{0..2},val-0,test-0}.tar"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "allweather" / "shards"


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    folder = paint_folder(tmp_path / "folder", {"train": 12, "val": 3, "test": 3})
    for split, count in {"train": 3, "val": 1, "test": 1}.items():
        write_split(tmp_path / "shards", folder, split, count)
    return tmp_path / "shards"


@pytest.fixture
def server(shards: Path, cache: Path) -> Iterator[Server]:
    with served(shards) as server:
        yield server


def read(host: str, pattern: str = PATTERN) -> Dataset:
    return open_dataset(f"webdataset:http://{host}/{pattern}", 16, reading=Reading(workers=0))


def refusal(host: str, error: type[AllweatherError] = DataError, pattern: str = PATTERN) -> str:
    """The line by which shards are refused; it holds no password, and nothing half-fetched is left."""
    with pytest.raises(error) as caught:
        read(f"me:secret@{host}", pattern)
    line = str(caught.value)
    assert "\n" not in line
    assert "secret" not in line
    return line


def test_shards_are_fetched_once(shards: Path, server: Server, cache: Path) -> None:
    data = read(server.host)
    wanted = open_dataset(f"webdataset:{shards}/{PATTERN}", 16, reading=Reading(workers=0))
    assert torch.equal(data.train.loaded().images, wanted.train.loaded().images)
    assert data.name == "webdataset:{train-{0..2},val-0,test-0}.tar"
    assert dict(data.inventory.splits[0].images) == {"cat": 12, "dog": 12}  # type: ignore[union-attr]
    kept = {path.name.partition("-")[2]: path.stat() for path in cache.iterdir()}
    assert {name: state.st_size for name, state in kept.items()} == {
        path.name: path.stat().st_size for path in shards.iterdir()
    }
    assert cache.stat().st_mode & 0o77 == 0
    again = read(server.host)
    assert again.train.digest() == data.train.digest()
    assert {path.name.partition("-")[2]: path.stat().st_ino for path in cache.iterdir()} == {
        name: state.st_ino for name, state in kept.items()
    }


def test_a_shard_of_another_size_is_fetched_again(tmp_path: Path, shards: Path, server: Server) -> None:
    read(server.host)
    folder = paint_folder(tmp_path / "other", {"train": 20})
    write_split(shards, folder, "train", 3)
    assert len(read(server.host).train) == 40


def test_a_shard_with_other_labels_of_the_same_size_is_fetched_again(
    tmp_path: Path, shards: Path, server: Server
) -> None:
    before = read(server.host).train.labels
    path = shards / "train-0.tar"
    state = path.stat()
    samples = samples_of(tmp_path / "folder" / "train", named=True)
    share = -(-len(samples) // 3)
    write_shard(path, [{**each, "cls": "dog"} for each in samples[:share]])
    assert path.stat().st_size == state.st_size
    os.utime(path, (state.st_mtime + 2, state.st_mtime + 2))
    after = read(server.host).train.labels
    assert (before == 1).sum() < (after == 1).sum()


def test_classes_lie_beside_the_first_shard(shards: Path, server: Server) -> None:
    (shards / "classes.txt").write_text("dog\ncat\n")
    name = f"webdataset:http://{server.host}/{PATTERN}"
    assert dataset_classes(name) == ("dog", "cat")
    assert [path for path, _ in server.requests] == ["/classes.txt"]
    data = read(server.host)
    assert data.classes == ("dog", "cat")
    assert data.train.labels[0] == 1


def test_without_a_network_what_was_fetched_is_used(
    shards: Path, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with served(shards) as server:
        data = read(server.host)
    with caplog.at_level(logging.WARNING):
        again = read(server.host)
    assert again.train.digest() == data.train.digest()
    (line,) = caplog.messages
    assert dataset_classes(f"webdataset:http://{server.host}/{PATTERN}") == ("cat", "dog")
    assert line.endswith("connection refused; check the address and the network; what was fetched before is used")
    next(path for path in cache.iterdir() if path.name.endswith("train-1.tar")).unlink()
    assert "train-1.tar cannot be fetched: connection refused" in refusal(server.host)


def test_the_login_goes_to_its_server_alone(shards: Path, cache: Path) -> None:
    with served(shards) as target:

        class Redirecting(Handler):
            def do_GET(self) -> None:  # noqa: N802 - the name that http.server calls
                self.server.requests.append((self.path, self.headers.get("Authorization")))  # type: ignore[attr-defined]
                self.send_response(302)
                self.send_header("Location", f"http://{target.host}{self.path}")
                self.end_headers()

        with served(shards, Redirecting) as server:
            read(f"me:p%40ss@{server.host}")
        assert {login for _, login in server.requests} == {"Basic bWU6cEBzcw=="}  # me:p@ss
        assert {login for _, login in target.requests} == {None}
    assert "p%40ss" not in "".join(map(str, cache.iterdir()))


# -- what goes wrong -------------------------------------------------------------------------------------------------


def test_a_shard_that_the_server_lacks_is_told(server: Server, cache: Path) -> None:
    line = refusal(server.host, pattern="no-{0..9}.tar")
    assert line.startswith(f"http://***@{server.host}/no-")
    assert line.endswith(".tar cannot be fetched: the server responds 404 File not found; check the address")
    assert list(cache.iterdir()) == []


def test_a_server_that_is_not_there_is_told(cache: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        host = f"127.0.0.1:{free.getsockname()[1]}"
    assert "cannot be fetched: connection refused; check the address and the network" in refusal(host)
    assert "is no valid URL; correct it" in refusal("127.0.0.1:port")
    assert list(cache.iterdir()) == []


def test_a_server_that_does_not_respond_is_told(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_client, "TIMEOUT", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        line = refusal(f"127.0.0.1:{silent.getsockname()[1]}")
    assert line.endswith("cannot be fetched: no response within 0.1 s; check the address, or try again")


def broken(send: Callable[[IO[bytes]], None]) -> type[SimpleHTTPRequestHandler]:
    """A server that states 100,000 bytes and sends fewer."""

    class Broken(Handler):
        def do_GET(self) -> None:  # noqa: N802 - the name that http.server calls
            self.send_response(200)
            self.send_header("Content-Length", "100000")
            self.end_headers()
            send(self.wfile)
            self.close_connection = True

    return Broken


def test_a_transfer_that_ends_early_leaves_nothing(shards: Path, cache: Path) -> None:
    with served(shards, broken(lambda file: file.write(bytes(3000)))) as server:
        line = refusal(server.host)
    assert line.endswith(".tar ended after 3000 of 100000 bytes; nothing of it is kept: try again")
    assert list(cache.iterdir()) == []


def test_a_chunk_of_a_negative_size_is_no_wrong_url(shards: Path, cache: Path) -> None:
    class Negative(Handler):
        def do_GET(self) -> None:  # noqa: N802 - the name that http.server calls
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"-5\r\n")
            self.close_connection = True

    with served(shards, Negative) as server:
        assert refusal(server.host).endswith("the server broke off (IncompleteRead); try again")
    assert list(cache.iterdir()) == []


def test_a_transfer_that_stalls_leaves_nothing(shards: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_client, "TIMEOUT", 0.2)

    def send(file: IO[bytes]) -> None:
        file.write(bytes(3000))
        time.sleep(0.6)

    with served(shards, broken(send)) as server:
        assert "no response within 0.2 s" in refusal(server.host)
    assert list(cache.iterdir()) == []


def test_what_is_no_http_is_told(cache: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as strange:

        def respond() -> None:
            for _ in range(4):
                connection, _ = strange.accept()
                with connection:
                    connection.recv(1000)
                    connection.sendall(b"220 mail server\r\n\r\n")

        thread = threading.Thread(target=respond, daemon=True)
        thread.start()
        line = refusal(f"127.0.0.1:{strange.getsockname()[1]}", pattern="train-{0..3}.tar")
        thread.join(5)
    assert "the server broke off (BadStatusLine); try again" in line


def test_a_full_disk_is_told_and_leaves_nothing(server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: http_client.Response) -> Iterator[bytes]:
        yield b"x"
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(http_client.Response, "blocks", full)
    line = refusal(server.host, OutputError)
    assert "the disk is full; free some space or choose another path: XDG_CACHE_HOME names the folder of caches" in line
    assert list(cache.iterdir()) == []


def test_a_cache_that_cannot_be_made_is_told(server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert "a part of the path is a file, not a folder" in refusal(server.host, OutputError)


def test_a_page_in_place_of_a_shard_is_told(shards: Path, server: Server) -> None:
    (shards / "train-0.tar").write_text("<html>please log in</html>" * 40)
    assert refusal(server.host).endswith("/train-0.tar is no tar file; remove or replace it")


def test_two_processes_fetch_a_shard_once(shards: Path, cache: Path) -> None:
    class Slow(Handler):
        def copyfile(self, source: object, outputfile: object) -> None:
            time.sleep(0.3)
            shutil.copyfileobj(source, outputfile)  # type: ignore[misc]

    with served(shards, Slow) as server:
        url = f"http://{server.host}/train-0.tar"
        threads = [threading.Thread(target=fetch.Cache().fetch_all, args=([url],)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    (kept,) = cache.iterdir()  # no lock and no temporary file beside it
    assert kept.read_bytes() == (shards / "train-0.tar").read_bytes()
    ranges = len(server.requests)
    assert ranges == 3  # one fetched it, and two asked for its size
