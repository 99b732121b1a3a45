"""Damaged and hostile zip files: each gives one clear error, and nothing is unpacked that should not be."""

from __future__ import annotations

import hashlib
import json
import resource
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allweather.runtimes.bundle.bundle import Bundle
from allweather.runtimes.bundle.manifest import MANIFEST
from allweather.runtimes.errors import BundleError

Refusal = Callable[[Path], str]
CENTRAL = b"PK\x01\x02"


@pytest.fixture(scope="module")
def good(tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    data: bytes = tiny.write(tmp_path_factory.mktemp("good") / "b.zip").read_bytes()
    return data


@pytest.fixture(scope="module")
def spot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One file that all examples overwrite."""
    return tmp_path_factory.mktemp("spot") / "bundle.zip"


def entries(tiny: Any, **extra: bytes) -> dict[str, bytes]:
    """Returns the files of a bundle whose manifest lists all of them, also the extra ones."""
    contents = {**tiny.contents, **extra}
    raw = json.loads(tiny.manifest.model_dump_json())
    raw["files"] = {
        name: {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in contents.items()
    }
    return {MANIFEST: json.dumps(raw).encode(), **contents}


def pack(path: Path, files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def central(data: bytes | bytearray, name: str) -> int:
    """Where the entry of a file begins in the central directory."""
    at = data.rindex(CENTRAL, 0, data.rindex(name.encode()))
    assert data[at + 46 :].startswith(name.encode())
    return at


@pytest.fixture(scope="module")
def bomb(tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gigabyte of zeros in a few megabytes, listed by its true size."""
    path = tmp_path_factory.mktemp("bomb") / "bundle.zip"
    deflate = zlib.compressobj(wbits=-15)
    block = deflate.compress(bytes(1 << 24)) + deflate.flush(zlib.Z_FULL_FLUSH)
    files = entries(tiny, **{"bomb.bin": block * 64 + b"\x03\x00"})
    raw = json.loads(files[MANIFEST])
    raw["files"]["bomb.bin"]["size"] = 1 << 30
    content = bytearray(pack(path, {**files, MANIFEST: json.dumps(raw).encode()}, zipfile.ZIP_STORED).read_bytes())
    local = content.index(b"bomb.bin" + block[:8]) - 30
    for at in (local, central(content, "bomb.bin") + 2):  # the central entry begins with one field of 2 bytes more
        struct.pack_into("<H", content, at + 8, zipfile.ZIP_DEFLATED)
        struct.pack_into("<I", content, at + 22, 1 << 30)
    path.write_bytes(content)
    return path


def same_or_refused(path: Path, tiny: Any, refusal: Refusal) -> bool:
    try:
        opened = Bundle.open(path)
    except BundleError:
        refusal(path)
        return False
    assert {name: opened.read(name) for name in opened.manifest.files} == tiny.contents
    assert opened.manifest.classes == tiny.manifest.classes
    assert opened.manifest.models == tiny.manifest.models
    return True


@settings(deadline=None, max_examples=150)
@given(data=st.data())
@pytest.mark.slow
def test_a_flip_in_a_zip_is_refused_or_changes_nothing(
    tiny: Any, good: bytes, spot: Path, refusal: Refusal, data: st.DataObject
) -> None:
    content = bytearray(good)
    directory = st.integers(good.index(CENTRAL), len(good) - 1)  # half of the flips go where zip is most intricate
    content[data.draw(directory | st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    spot.write_bytes(content)
    same_or_refused(spot, tiny, refusal)


def test_a_zip_cut_anywhere_is_refused(good: bytes, spot: Path, refusal: Refusal) -> None:
    for length in range(0, len(good), 11):
        spot.write_bytes(good[:length])
        refusal(spot)


@settings(deadline=None, max_examples=50)
@given(noise=st.binary(max_size=200), magic=st.sampled_from([b"", b"PK\x03\x04", b"PK\x05\x06" + bytes(18)]))
def test_a_file_of_anything_is_refused(spot: Path, refusal: Refusal, noise: bytes, magic: bytes) -> None:
    spot.write_bytes(noise + magic + noise)
    refusal(spot)


@pytest.mark.parametrize("content", [b"", b"my notes\n" * 100, b"\x7fELF", b"{}"])
def test_something_else_named_zip_is_refused(spot: Path, refusal: Refusal, content: bytes) -> None:
    spot.write_bytes(content)
    assert "not a readable .zip" in refusal(spot)


@pytest.mark.parametrize("field", [8, 10, 16, 20, 24, 28, 30, 32, 34, 42])
@pytest.mark.parametrize("value", [0, 1, 0x7F, 0xFF])
@pytest.mark.parametrize("name", [MANIFEST, "model.onnx"])
def test_a_directory_that_lies_is_refused_or_changes_nothing(
    tiny: Any, good: bytes, spot: Path, refusal: Refusal, name: str, field: int, value: int
) -> None:
    content = bytearray(good)
    at = central(good, name) + field
    content[at : at + 2] = bytes([value, value])
    spot.write_bytes(content)
    same_or_refused(spot, tiny, refusal)


@pytest.mark.parametrize("offset", [2**32, 2**63, 2**64 - 1])
def test_offsets_beyond_every_file_are_refused(good: bytes, spot: Path, refusal: Refusal, offset: int) -> None:
    """The offset of the content is in a zip64 field."""
    at = central(good, MANIFEST)
    content = bytearray(good)
    content[at + 42 : at + 46] = b"\xff" * 4
    extra = struct.pack("<HHQ", 1, 8, offset)
    content[at + 30 : at + 32] = struct.pack("<H", len(extra))
    end = at + 46 + len(MANIFEST)
    content[end:end] = extra
    size = good.rindex(b"PK\x05\x06") + len(extra) + 12
    content[size : size + 4] = struct.pack("<I", struct.unpack_from("<I", content, size)[0] + len(extra))
    spot.write_bytes(content)
    refusal(spot)


def test_an_encrypted_entry_is_refused(good: bytes, spot: Path, refusal: Refusal) -> None:
    content = bytearray(good)
    content[good.index(b"model.onnx") - 30 + 6] |= 1
    content[central(good, "model.onnx") + 8] |= 1
    spot.write_bytes(content)
    assert "encrypted" in refusal(spot)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_another_packing_method_is_refused(tiny: Any, spot: Path, refusal: Refusal, method: int) -> None:
    assert "another method than deflate" in refusal(pack(spot, entries(tiny), method))


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", [MANIFEST, "model.onnx"])
def test_a_name_that_is_there_twice_is_refused(tiny: Any, spot: Path, refusal: Refusal, name: str) -> None:
    files = entries(tiny)
    with zipfile.ZipFile(pack(spot, files), "a") as archive:
        archive.writestr(name, files[name])
    assert f"{name} is in it 2 times" in refusal(spot)


@pytest.mark.parametrize("name", ["../model.onnx", "/model.onnx", "golden/../../x", "a\\..\\x"])
def test_a_name_that_leads_out_is_refused(tiny: Any, spot: Path, refusal: Refusal, name: str) -> None:
    assert "files" in refusal(pack(spot, entries(tiny, **{name: b"a graph"})))


def test_names_that_lead_out_and_are_not_listed_are_left_alone(tiny: Any, tmp_path: Path) -> None:
    folder = tmp_path / "inside"
    folder.mkdir()
    Bundle.open(pack(folder / "b.zip", {**entries(tiny), "../escaped": b"1", str(tmp_path / "e"): b"1"}))
    assert [path.name for path in tmp_path.rglob("*")] == ["inside", "b.zip"]


def test_an_honest_bomb_is_refused_before_it_is_unpacked(bomb: Path, refusal: Refusal) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert "bomb.bin unpacks to 1073741824 bytes" in refusal(bomb)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10  # in kilobytes


def test_a_bomb_that_lies_about_its_packed_size_is_refused(bomb: Path, spot: Path, refusal: Refusal) -> None:
    content = bytearray(bomb.read_bytes())
    at = central(content, "bomb.bin") + 20
    content[at : at + 4] = struct.pack("<I", 1 << 30)
    spot.write_bytes(content)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert "bomb.bin unpacks" in refusal(spot)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10


@pytest.mark.slow
def test_a_manifest_bomb_is_refused(tiny: Any, spot: Path, refusal: Refusal) -> None:
    files = {**entries(tiny), MANIFEST: b" " * (64 << 20)}
    assert f"{MANIFEST} unpacks to" in refusal(pack(spot, files))


def test_a_zip_of_very_many_files_is_refused_at_once(tiny: Any, spot: Path, refusal: Refusal) -> None:
    files = {**{f"{number}": b"" for number in range(3000)}, **entries(tiny)}
    assert "more than 2000 files" in refusal(pack(spot, files, zipfile.ZIP_STORED))


def test_a_bundle_inside_a_folder_of_the_zip_is_not_found(tiny: Any, spot: Path, refusal: Refusal) -> None:
    files = {f"bundle/{name}": data for name, data in entries(tiny).items()}
    assert f"{MANIFEST} is missing" in refusal(pack(spot, files))
