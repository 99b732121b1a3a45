"""The cache of built engines: what was stored is loaded again, anything else is refused with advice what to do."""

from __future__ import annotations

import errno
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from multiprocessing.queues import Queue
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allweather.runtimes.engines.tensorrt.cache import BuiltEngines, EngineKey, built_engines
from allweather.runtimes.errors import EngineError, NotBuiltError, OutputError

KEY = EngineKey("0" * 64, "int8", 224, 224, 12, "tensorrt", "10.3.0.26", "Orin", "8.7", "12.6")
ADVICE = ("allweather build BUNDLE", "chmod 700", "XDG_CACHE_HOME")
Fresh = Callable[[], AbstractContextManager[Path]]


def engine_of(key: EngineKey, body: bytes = b"the layers") -> bytes:
    """The first bytes of a built engine; 27 is an arbitrary build number where the library does not tell its own."""
    parts = ([int(part) for part in key.version.split(".")] + [27])[:4]
    return {"tensorrt": b"ftrt", "tensorrt_rtx": b"vtrt"}[key.variant] + bytes(20) + bytes(parts) + body


def refused(action: Callable[[], object], kind: type[Exception] = EngineError) -> str:
    with pytest.raises(kind) as caught:
        action()
    message = str(caught.value)
    assert message.isprintable(), message
    assert len(message) < 400, message
    assert any(advice in message for advice in ADVICE), message
    return message


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BuiltEngines:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return built_engines()


@settings(deadline=None, max_examples=30)
@given(body=st.binary(max_size=2000), version=st.sampled_from(["10.3.0", "10.16.1.7", "11.4.0.106"]))
@pytest.mark.slow
def test_what_was_stored_is_loaded_again(fresh: Fresh, body: bytes, version: str) -> None:
    key = replace(KEY, version=version)
    with fresh() as folder:
        cache = BuiltEngines(folder)
        assert "not built" in refused(lambda: cache.load(key), NotBuiltError)
        cache.store(key, engine_of(key, body))
        assert cache.load(key) == engine_of(key, body)


@settings(deadline=None, max_examples=60)
@given(data=st.data(), suffix=st.sampled_from(["engine", "json"]))
@pytest.mark.slow
def test_any_changed_byte_is_refused(fresh: Fresh, data: st.DataObject, suffix: str) -> None:
    with fresh() as folder:
        BuiltEngines(folder).store(KEY, engine_of(KEY))
        file = folder / f"{KEY.digest}.{suffix}"
        content = bytearray(file.read_bytes())
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
        file.write_bytes(content)
        refused(lambda: BuiltEngines(folder).load(KEY))


@settings(deadline=None, max_examples=30)
@given(data=st.data(), suffix=st.sampled_from(["engine", "json"]))
@pytest.mark.slow
def test_a_cut_or_longer_file_is_refused(fresh: Fresh, data: st.DataObject, suffix: str) -> None:
    with fresh() as folder:
        BuiltEngines(folder).store(KEY, engine_of(KEY))
        file = folder / f"{KEY.digest}.{suffix}"
        content = file.read_bytes()
        other = data.draw(st.one_of(st.integers(0, len(content) - 1).map(lambda n: content[:n]), st.just(content * 2)))
        file.write_bytes(other)
        refused(lambda: BuiltEngines(folder).load(KEY))


@pytest.mark.parametrize("part", sorted(asdict(KEY)))
def test_any_change_of_any_part_makes_another_key(cache: BuiltEngines, part: str) -> None:
    @settings(deadline=None, max_examples=20)
    @given(other=st.integers() if isinstance(asdict(KEY)[part], int) else st.text())
    def another(other: object) -> None:
        changed = replace(KEY, **{part: other})  # type: ignore[arg-type]
        assert (changed.digest == KEY.digest) == (changed == KEY)

    another()


def test_parts_do_not_run_into_each_other() -> None:
    assert replace(KEY, gpu="a", architecture="bc").digest != replace(KEY, gpu="ab", architecture="c").digest


@pytest.mark.parametrize(
    ("built", "here", "refuses"),
    [
        ("10.3.0.26", "10.3.0.26", False),
        ("10.3.0.26", "10.3.0", False),  # 10.3 does not tell its build
        ("10.3.0.26", "10.3.0.27", True),
        ("10.3.0.26", "10.16.0.26", True),
        ("10.3.0.26", "11.3.0.26", True),
        ("10.3.1.26", "10.3.0", True),
    ],
)
def test_an_engine_of_another_version_is_refused_before_it_is_read(
    cache: BuiltEngines, built: str, here: str, refuses: bool
) -> None:
    engine, key = engine_of(replace(KEY, version=built)), replace(KEY, version=here)
    if refuses:
        assert f"built by tensorrt {built}, but {here} is installed" in refused(lambda: cache.store(key, engine))
    else:
        cache.store(key, engine)
        assert cache.load(key) == engine


@pytest.mark.parametrize("part", ["gpu", "architecture", "cuda", "onnx", "version", "precision"])
def test_an_entry_moved_to_another_key_is_refused(cache: BuiltEngines, part: str) -> None:
    other = replace(KEY, **{part: "9.9.9"})  # type: ignore[arg-type]
    cache.store(KEY, engine_of(KEY))
    for suffix in ("engine", "json"):
        (cache.folder / f"{KEY.digest}.{suffix}").rename(cache.folder / f"{other.digest}.{suffix}")
    assert "built for another" in refused(lambda: cache.load(other))


@pytest.mark.parametrize("engine", [b"", b"ftrt", b"vtrt" + engine_of(KEY)[4:], b"\x7fELF" * 20])
def test_what_does_not_begin_like_an_engine_is_not_stored(cache: BuiltEngines, engine: bytes) -> None:
    assert "does not begin like an engine" in refused(lambda: cache.store(KEY, engine))
    refused(lambda: cache.load(KEY), NotBuiltError)


def test_the_folder_is_private_and_created_by_the_first_build(cache: BuiltEngines, tmp_path: Path) -> None:
    assert cache.folder == tmp_path / "allweather" / "tensorrt"
    refused(lambda: cache.load(KEY), NotBuiltError)
    assert not cache.folder.exists()
    cache.store(KEY, engine_of(KEY))
    assert cache.folder.parent.stat().st_mode & 0o777 == 0o700
    assert cache.folder.stat().st_mode & 0o777 == 0o700
    cache.folder.chmod(0o770)
    assert f"chmod 700 {cache.folder}" in refused(built_engines)
    refused(lambda: cache.load(KEY))


def test_a_folder_of_another_user_is_refused(cache: BuiltEngines, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.store(KEY, engine_of(KEY))
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    assert "not to 12345" in refused(built_engines)
    refused(lambda: cache.load(KEY))


@pytest.mark.parametrize("part", ["allweather", "allweather/tensorrt"])
def test_a_link_in_place_of_the_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / part).parent.mkdir(exist_ok=True, mode=0o700)
    (tmp_path / part).symlink_to(tmp_path / "elsewhere")
    assert "is a link" in refused(built_engines)


@pytest.mark.parametrize("suffix", ["engine", "json"])
@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_an_entry_that_is_not_a_regular_file_is_refused(cache: BuiltEngines, suffix: str, kind: str) -> None:
    cache.store(KEY, engine_of(KEY))
    file = cache.folder / f"{KEY.digest}.{suffix}"
    moved = file.rename(cache.folder / "moved")
    if kind == "link":
        file.symlink_to(moved)
    elif kind == "pipe":
        os.mkfifo(file)
    else:
        file.mkdir()
    refused(lambda: cache.load(KEY))


def test_a_relative_cache_home_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", "here")
    assert built_engines().folder == tmp_path / "home" / ".cache" / "allweather" / "tensorrt"


@pytest.mark.parametrize("fault", [errno.EROFS, errno.EACCES, errno.ENOSPC])
def test_a_folder_that_cannot_be_written_to_says_where_to_choose_another(
    cache: BuiltEngines, monkeypatch: pytest.MonkeyPatch, fault: int
) -> None:
    def refuses(*arguments: object, **named: object) -> None:
        raise OSError(fault, os.strerror(fault))

    monkeypatch.setattr(tempfile, "mkstemp", refuses)
    refused(lambda: cache.store(KEY, engine_of(KEY)), OutputError)
    refused(lambda: cache.store_timing_cache(KEY, b"t"), OutputError)
    monkeypatch.setattr(Path, "mkdir", refuses)
    refused(lambda: cache.store(KEY, engine_of(KEY)), OutputError)


def test_the_timing_cache_is_kept_for_a_device_and_version(cache: BuiltEngines) -> None:
    assert cache.timing_cache(KEY) == b""
    cache.store_timing_cache(KEY, b"fast")
    assert cache.timing_cache(replace(KEY, precision="fp16")) == b"fast"
    assert cache.timing_cache(replace(KEY, version="11.4.0.106")) == b""


def build_once(folder: Path, events: Queue[str]) -> None:
    """Builds as 'allweather build' does: one process at a time, which first looks whether another has built it."""
    cache = BuiltEngines(folder)
    with cache.building(KEY, lambda: events.put("waits")):
        try:
            cache.load(KEY)
        except NotBuiltError:
            time.sleep(0.5)
            cache.store(KEY, engine_of(KEY, str(os.getpid()).encode()))
            events.put("builds")
        else:
            events.put("loads")


def test_of_two_processes_one_builds_and_the_other_loads_it(cache: BuiltEngines) -> None:
    context = multiprocessing.get_context("fork")
    events: Queue[str] = context.Queue()
    processes = [context.Process(target=build_once, args=(cache.folder, events)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)
        assert process.exitcode == 0
    assert sorted(events.get(timeout=5) for _ in range(3)) == ["builds", "loads", "waits"]
