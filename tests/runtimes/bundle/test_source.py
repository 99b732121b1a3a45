"""What a bundle is read from: replaced meanwhile, lying about sizes, of many files; in time and memory of its size."""

from __future__ import annotations

import gc
import hashlib
import json
import os
import struct
import threading
import time
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from allweather.runtimes.bundle import bundle as bundle_module
from allweather.runtimes.bundle.bundle import Bundle, ReplacedError, write_bundle
from allweather.runtimes.bundle.manifest import MANIFEST
from allweather.runtimes.bundle.source import FolderSource
from allweather.runtimes.errors import BundleError

Refusal = Callable[[Path], str]
NAMES = ["bundle", "bundle.zip"]


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@contextmanager
def peak_memory(limit: int) -> Iterator[None]:
    """Fails if Python allocates more bytes than `limit` at any time."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < limit, peak


def listed(tiny: Any, **extra: tuple[int, str]) -> bytes:
    """Returns a manifest that lists the files of the tiny bundle, and others by size and hash."""
    raw = json.loads(tiny.manifest.model_dump_json())
    files = {name: (len(data), hashlib.sha256(data).hexdigest()) for name, data in tiny.contents.items()} | extra
    raw["files"] = {name: {"size": size, "sha256": digest} for name, (size, digest) in files.items()}
    return json.dumps(raw).encode()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.slow
def test_a_bundle_that_is_replaced_again_and_again_is_never_called_damaged(
    tiny: Any, tmp_path: Path, name: str
) -> None:
    other = {**tiny.contents, "model.onnx": b"another graph"}
    write_bundle(tmp_path / name, tiny.manifest, tiny.contents)

    def replace() -> None:
        for _ in range(20):
            for contents in (other, tiny.contents):
                write_bundle(tmp_path / name, tiny.manifest, contents)

    writer = threading.Thread(target=replace)
    writer.start()
    opened = replaced = 0
    try:
        while writer.is_alive():
            try:
                bundle = Bundle.open(tmp_path / name)
                assert bundle.read("model.onnx") in (other["model.onnx"], tiny.contents["model.onnx"])
            except ReplacedError:
                replaced += 1
            else:
                opened += 1
    finally:
        writer.join()
    assert opened > replaced
    assert not replaced or name == "bundle"  # the folder is deleted while it is read


def test_a_zip_that_is_replaced_after_opening_stays_what_it_was(tiny: Any, tmp_path: Path) -> None:
    bundle = Bundle.open(tiny.write(tmp_path / "b.zip"))
    write_bundle(tmp_path / "b.zip", tiny.manifest, {**tiny.contents, "model.onnx": b"another graph"})
    assert {name: bundle.read(name) for name in bundle.manifest.files} == tiny.contents


def test_a_folder_that_is_replaced_after_opening_is_not_called_damaged(tiny: Any, tmp_path: Path) -> None:
    bundle = Bundle.open(tiny.write(tmp_path / "b"))
    tiny.write(tmp_path / "b")
    with pytest.raises(ReplacedError, match="b was replaced meanwhile; start again"):
        bundle.read("model.onnx")


def test_a_zip_that_is_overwritten_in_place_is_not_called_damaged(tiny: Any, tmp_path: Path) -> None:
    bundle = Bundle.open(tiny.write(tmp_path / "b.zip"))
    (tmp_path / "b.zip").write_bytes(b"the first bytes of a copy that is under way")
    with pytest.raises(ReplacedError):
        bundle.read("model.onnx")


@pytest.mark.parametrize("times", [1, 2])
def test_a_bundle_that_was_replaced_is_opened_once_more(
    tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    path, replacements = tiny.write(tmp_path / "b"), iter(range(times))
    read = FolderSource.pieces

    def replaced_first(self: FolderSource, name: str, size: int | None, limit: int) -> Iterator[bytes]:
        if name == "model.onnx" and next(replacements, None) is not None:
            tiny.write(path)
        yield from read(self, name, size, limit)

    monkeypatch.setattr(FolderSource, "pieces", replaced_first)
    if times == 1:
        assert Bundle.open(path).read("model.onnx") == b"a graph"
    else:
        with pytest.raises(ReplacedError, match="was replaced meanwhile"):
            Bundle.open(path)


def test_a_folder_that_is_away_for_a_moment_is_waited_for(
    tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = tiny.write(tmp_path / ".bundle-x")
    monkeypatch.setattr(bundle_module.time, "sleep", lambda seconds: written.rename(tmp_path / "bundle"))
    assert Bundle.open(tmp_path / "bundle").manifest.arch == "tiny"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.slow
def test_a_bundle_holds_one_descriptor_and_gives_it_back(tiny: Any, tmp_path: Path, name: str) -> None:
    path = tiny.write(tmp_path / name)
    gc.collect()
    before = descriptors()
    bundles = [Bundle.open(path) for _ in range(5)]
    for bundle in bundles:
        bundle.read("model.onnx")
    assert descriptors() == before + 5
    del bundles, bundle
    gc.collect()
    assert descriptors() == before


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.slow
def test_990_files_are_read_in_less_than_a_second(tiny: Any, tmp_path: Path, name: str) -> None:
    contents = {**tiny.contents, **{f"more/{number}.txt": b"x" for number in range(990)}}
    write_bundle(tmp_path / name, tiny.manifest, contents)
    started = time.process_time()
    Bundle.open(tmp_path / name)
    assert time.process_time() - started < 1


@pytest.mark.slow
def test_a_zip_whose_list_says_less_than_it_unpacks_to_takes_no_memory(
    tiny: Any, tmp_path: Path, refusal: Refusal
) -> None:
    """Its directory says 300 bytes, its manifest a gigabyte, and that is what it would unpack to."""
    deflate = zlib.compressobj(9, wbits=-15)
    packed = deflate.compress(bytes(1 << 26)) + deflate.flush()
    for size, words in ((1 << 26, "model.onnx should have 67108864 bytes and has 300"), (300, "Bad CRC-32")):
        path = tmp_path / f"{size}.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(MANIFEST, listed(tiny, **{"model.onnx": (size, "0" * 64)}))
            for name, data in {**tiny.contents, "model.onnx": packed}.items():
                archive.writestr(name, data)
        content = bytearray(path.read_bytes())
        for head, field in (
            (content.index(b"model.onnx" + packed[:8]) - 30, 8),
            (content.rindex(b"model.onnx") - 46, 10),
        ):
            struct.pack_into("<H", content, head + field, zipfile.ZIP_DEFLATED)
            struct.pack_into("<I", content, head + field + 14, 300)
        path.write_bytes(content)
        with peak_memory(20 << 20):
            assert words in refusal(path)


def test_a_sparse_file_of_gigabytes_takes_neither_time_nor_memory(tiny: Any, tmp_path: Path, refusal: Refusal) -> None:
    """It is listed with its true size, which takes no room on the disk."""
    path, started = tiny.write(tmp_path / "b"), time.process_time()
    for name, size in {"model.onnx": 4 << 30, "golden/frames.npy": 1 << 30, "golden/logits.npy": 1 << 30}.items():
        with (path / name).open("r+b") as stream:
            stream.truncate(size)
        (path / MANIFEST).write_bytes(listed(tiny, **{name: (size, "0" * 64)}))
        with peak_memory(20 << 20):
            assert f"{name} should have at most" in refusal(path)
        (path / name).write_bytes(tiny.contents[name])
    assert time.process_time() - started < 1


@pytest.mark.slow
def test_a_file_is_hashed_in_pieces(tiny: Any, tmp_path: Path, refusal: Refusal) -> None:
    path = tiny.write(tmp_path / "b")
    with (path / "model.onnx").open("r+b") as stream:
        stream.truncate(200 << 20)
    (path / MANIFEST).write_bytes(listed(tiny, **{"model.onnx": (200 << 20, "0" * 64)}))
    with peak_memory(20 << 20):
        assert "its SHA-256 differs" in refusal(path)


def test_a_copy_that_is_incomplete_is_to_be_copied_again(tiny: Any, tmp_path: Path, refusal: Refusal) -> None:
    path = tiny.write(tmp_path / "b")
    for name in ("model.onnx", MANIFEST):
        content = (path / name).read_bytes()
        (path / name).write_bytes(content[: len(content) // 2])
        assert refusal(path).endswith("copy or export it again")
        (path / name).write_bytes(content)
    (path / "model.onnx").unlink()
    assert refusal(path).endswith("copy or export it again")


def test_a_model_that_does_not_fit_into_the_memory_is_not_read(
    tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = Bundle.open(tiny.write(tmp_path / "b"))
    monkeypatch.setattr(bundle_module, "usable_memory", lambda: 5)
    with pytest.raises(BundleError, match=r"model\.onnx has 7 bytes, more than the memory here"):
        bundle.read("model.onnx")


def test_a_zip_with_a_list_of_gigabytes_is_not_read(tiny: Any, tmp_path: Path, refusal: Refusal) -> None:
    path = tmp_path / "b.zip"
    with path.open("wb") as stream:
        stream.truncate(1 << 30)
        stream.seek(0, os.SEEK_END)
        stream.write(b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 1000, 1000, 1 << 30, 0, 0))
    with peak_memory(20 << 20):
        assert "its list of files is longer" in refusal(path)


def test_what_is_written_can_be_opened(tiny: Any, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="notes has 16777217 bytes, and a bundle takes at most 16777216"):
        write_bundle(tmp_path / "b", tiny.manifest, {**tiny.contents, "notes": bytes((16 << 20) + 1)})


def test_a_manifest_that_could_not_be_read_again_is_not_written(tiny: Any, tmp_path: Path) -> None:
    classes = tuple(f"{index:0200d}" for index in range(90_000))
    with pytest.raises(
        BundleError, match=r"manifest.json would have \d+ bytes, .* at most 16777216; give the classes sh"
    ):
        write_bundle(tmp_path / "b.aw", tiny.manifest.model_copy(update={"classes": classes}), tiny.contents)
    assert not (tmp_path / "b.aw").exists()
