"""Damaged and hostile bundles: opening one gives one clear error, reads nothing outside of it, and never hangs."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allweather.runtimes.bundle.bundle import Bundle, npy_bytes, write_bundle
from allweather.runtimes.bundle.manifest import MANIFEST, StoredFile
from allweather.runtimes.errors import BundleError

Refusal = Callable[[Path], str]
FILES = [MANIFEST, "golden/frames.npy", "golden/logits.npy", "model.onnx"]
SECRET = b"a graph"  # a file outside the bundle with the expected hash: only its path is wrong


@pytest.fixture(scope="module")
def spot(tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A valid bundle that every example restores."""
    path: Path = tiny.write(tmp_path_factory.mktemp("spot") / "bundle")
    return path


@pytest.fixture
def bundle(tiny: Any, tmp_path: Path) -> Path:
    """A valid bundle on the disk, for the test to damage."""
    path: Path = tiny.write(tmp_path / "bundle")
    return path


def relist(bundle: Path, name: str, data: bytes | None = None, size: int | None = None) -> None:
    """Lists a file in the manifest with its true size and hash, or with a given size."""
    raw = json.loads((bundle / MANIFEST).read_text())
    old = raw["files"].get(name, {})
    digest = hashlib.sha256(data).hexdigest() if data is not None else old["sha256"]
    raw["files"][name] = {"size": size if size is not None else len(data or b""), "sha256": digest}
    (bundle / MANIFEST).write_text(json.dumps(raw))


@settings(deadline=None, max_examples=100)
@given(data=st.data(), name=st.sampled_from(FILES))
@pytest.mark.slow
def test_a_flip_in_a_folder_is_refused_or_changes_no_file(
    tiny: Any, spot: Path, refusal: Refusal, data: st.DataObject, name: str
) -> None:
    good = (spot / name).read_bytes()
    content = bytearray(good)
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    (spot / name).write_bytes(content)
    try:
        opened = Bundle.open(spot)
    except BundleError:
        assert name == MANIFEST or name in refusal(spot)
    else:
        assert name == MANIFEST  # where a flip can make another word, or another number
        assert {listed: opened.read(listed) for listed in opened.manifest.files} == tiny.contents
    finally:
        (spot / name).write_bytes(good)


@pytest.mark.parametrize("name", FILES)
def test_a_file_cut_anywhere_is_refused_by_name(bundle: Path, refusal: Refusal, name: str) -> None:
    content = (bundle / name).read_bytes()
    for length in range(0, len(content), 1 + len(content) // 100):
        (bundle / name).write_bytes(content[:length])
        assert name in refusal(bundle)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("more", [1, 100_000])
def test_a_file_that_grew_is_refused_by_name(bundle: Path, refusal: Refusal, name: str, more: int) -> None:
    with (bundle / name).open("ab") as stream:
        stream.write(b"\0" * more)
    assert name in refusal(bundle)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(bundle: Path, refusal: Refusal, name: str) -> None:
    (bundle / name).unlink()
    assert f"{name} is missing" in refusal(bundle)


@pytest.mark.parametrize("name", FILES)
def test_a_link_to_the_outside_is_refused_though_its_content_is_right(
    bundle: Path, refusal: Refusal, tmp_path: Path, name: str
) -> None:
    (bundle / name).rename(tmp_path / "outside")
    (bundle / name).symlink_to(tmp_path / "outside")
    assert f"{name} is a link" in refusal(bundle)


def test_a_linked_subfolder_is_refused_though_its_content_is_right(
    bundle: Path, refusal: Refusal, tmp_path: Path
) -> None:
    (bundle / "golden").rename(tmp_path / "outside")
    (bundle / "golden").symlink_to(tmp_path / "outside")
    assert "golden/frames.npy is a link" in refusal(bundle)


def test_a_link_to_itself_is_refused(bundle: Path, refusal: Refusal) -> None:
    (bundle / "model.onnx").unlink()
    (bundle / "model.onnx").symlink_to("model.onnx")
    assert "model.onnx" in refusal(bundle)


def test_a_bundle_reached_through_a_link_opens(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "latest").symlink_to(bundle)
    assert Bundle.open(tmp_path / "latest").read("model.onnx") == b"a graph"


@pytest.mark.parametrize("name", FILES)
def test_a_pipe_in_place_of_a_file_is_refused_at_once(bundle: Path, refusal: Refusal, name: str) -> None:
    (bundle / name).unlink()
    os.mkfifo(bundle / name)
    assert name in refusal(bundle)


@pytest.mark.parametrize("name", FILES)
def test_a_folder_in_place_of_a_file_is_refused(bundle: Path, refusal: Refusal, name: str) -> None:
    (bundle / name).unlink()
    (bundle / name).mkdir()
    assert name in refusal(bundle)


@pytest.mark.parametrize("outside", ["../secret", "golden/../../secret", "C:\\secret", "golden/../model.onnx", "./x"])
def test_a_name_that_leads_out_is_refused_though_its_content_is_right(
    bundle: Path, refusal: Refusal, tmp_path: Path, outside: str
) -> None:
    (tmp_path / "secret").write_bytes(SECRET)
    (bundle / outside).write_bytes(SECRET)
    relist(bundle, outside, SECRET)
    assert "files" in refusal(bundle)


def test_an_absolute_name_is_refused_though_its_content_is_right(
    bundle: Path, refusal: Refusal, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_bytes(SECRET)
    relist(bundle, str(tmp_path / "secret"), SECRET)
    assert "files" in refusal(bundle)


def test_a_claim_of_gigabytes_takes_no_memory(bundle: Path, refusal: Refusal) -> None:
    relist(bundle, "model.onnx", size=4 << 30)
    assert "model.onnx should have 4294967296 bytes and has 7" in refusal(bundle)


def test_a_manifest_of_gigabytes_is_not_read(bundle: Path, refusal: Refusal) -> None:
    with (bundle / MANIFEST).open("r+b") as stream:
        stream.truncate(8 << 30)  # takes no room on the disk
    assert "at most 16777216 bytes" in refusal(bundle)


@pytest.mark.parametrize("name", ["bundle", "bundle.zip"])
def test_what_is_not_there_is_said(tmp_path: Path, refusal: Refusal, name: str) -> None:
    assert "no bundle at" in refusal(tmp_path / name)


@pytest.mark.parametrize("name", ["x" * 5000, "a\nb", "file/inside"])
def test_a_path_that_cannot_be_is_no_bundle(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BundleError, match="no bundle at") as caught:
        Bundle.open(tmp_path / name)
    assert str(caught.value).isprintable()


def test_a_pipe_or_a_device_is_no_bundle(tmp_path: Path, refusal: Refusal) -> None:
    os.mkfifo(tmp_path / "bundle.zip")
    assert "neither a folder nor a file" in refusal(tmp_path / "bundle.zip")
    assert "neither a folder nor a file" in refusal(Path("/dev/zero"))


def test_an_empty_folder_is_no_bundle(tmp_path: Path, refusal: Refusal) -> None:
    assert f"{MANIFEST} is missing" in refusal(tmp_path)


def test_a_file_that_vanishes_after_opening_is_named(bundle: Path) -> None:
    opened = Bundle.open(bundle)
    shutil.rmtree(bundle / "golden")
    with pytest.raises(BundleError, match=r"golden/frames\.npy is missing"):
        opened.golden_frames()


def test_a_file_changed_after_opening_is_refused(bundle: Path) -> None:
    opened = Bundle.open(bundle)
    (bundle / "model.onnx").write_bytes(b"A graph")
    with pytest.raises(BundleError, match=r"model\.onnx is edited or damaged"):
        opened.read("model.onnx")


def test_a_file_that_is_not_listed_is_not_read(bundle: Path) -> None:
    (bundle / "extra").write_bytes(b"1")
    for name in ("extra", MANIFEST, "../secret"):
        with pytest.raises(BundleError, match="not listed"):
            Bundle.open(bundle).read(name)


def saved(array: Any, **how: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, **how)
    return stream.getvalue()


ARRAYS = {
    "objects": saved(np.array([[None, 1], [2, print]], object), allow_pickle=True),
    "other shape": npy_bytes(np.zeros((2, 3), np.float32)),
    "one more dimension": npy_bytes(np.zeros((2, 2, 1), np.float32)),
    "other type": saved(np.zeros((2, 2), np.float64)),
    "other bytes": saved(np.zeros((2, 2), ">f4")),
    "other order": saved(np.asfortranarray(np.zeros((2, 2), np.float32))),
    "cut": npy_bytes(np.zeros((2, 2), np.float32))[:-1],
    "too long": npy_bytes(np.zeros((2, 2), np.float32)) + b"\0",
    "a pickle": b"\x80\x04N.",
    "empty": b"",
    "head alone": npy_bytes(np.zeros((2, 2), np.float32))[:128],
}


@pytest.mark.parametrize("kind", ARRAYS)
@pytest.mark.parametrize("name", ["bundle", "bundle.zip"])
def test_an_array_of_another_kind_is_refused_though_its_hash_is_right(
    tiny: Any, tmp_path: Path, name: str, kind: str
) -> None:
    write_bundle(tmp_path / name, tiny.manifest, {**tiny.contents, "golden/logits.npy": ARRAYS[kind]})
    bundle = Bundle.open(tmp_path / name)
    with pytest.raises(BundleError, match=r"golden/logits\.npy is not an array of <f4 \[2, 2\]; export it again"):
        bundle.golden_outputs(bundle.manifest.models[0])


def test_a_count_of_golden_frames_that_is_not_theirs_is_refused(tiny: Any, tmp_path: Path) -> None:
    lying = tiny.manifest.model_copy(update={"golden_count": 1024})
    write_bundle(tmp_path / "b", lying, tiny.contents)
    with pytest.raises(BundleError, match=r"golden/frames\.npy is not an array of \|u1 \[1024, 2, 2, 3\]"):
        Bundle.open(tmp_path / "b").golden_frames()


def test_listed_sizes_are_what_was_written(tiny: Any, bundle: Path) -> None:
    for name, data in tiny.contents.items():
        listed = Bundle.open(bundle).manifest.files[name]
        assert listed == StoredFile(size=len(data), sha256=hashlib.sha256(data).hexdigest())
