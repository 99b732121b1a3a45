"""OpenVINO: pictures side by side are answered as one by one; what was compiled before is not trusted blindly."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from allweather.runtimes.engines import engine_openvino, engine_openvino_gpu, engine_openvino_npu
from allweather.runtimes.engines import openvino_cache as compiled_cache
from allweather.runtimes.engines.openvino_cache import DIGEST, cached_blob
from allweather.runtimes.engines.registry import CompiledModel
from allweather.runtimes.errors import DependencyError, EngineError
from allweather.runtimes.preprocess import InputSpec


@pytest.fixture
def compiled(network: Any) -> CompiledModel:
    return CompiledModel(network.xml, network.bin, "fp32", InputSpec(8, 8), 4)


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "allweather" / "openvino"


@pytest.mark.parametrize("count", [1, 2, 3, 7, 12])
def test_each_picture_gets_the_answer_that_it_gets_alone(compiled: CompiledModel, count: int) -> None:
    engine = engine_openvino.start(compiled)
    images = np.random.default_rng(count).integers(0, 256, (count, 8, 8, 3), np.uint8)
    alone = np.concatenate([engine.infer(image[None]) for image in images])
    np.testing.assert_array_equal(engine.infer(images), alone)


def test_pictures_of_another_size_are_refused_alone_and_side_by_side(compiled: CompiledModel) -> None:
    engine = engine_openvino.start(compiled)
    for count in (1, 2):
        for height in (1, 9):  # numpy would stretch the first
            with pytest.raises(EngineError, match=rf"failed on a batch of shape \[{count}, {height}, 8, 3\]"):
                engine.infer(np.zeros((count, height, 8, 3), np.uint8))
        with pytest.raises(EngineError, match="failed on a batch"):
            engine.infer(np.zeros((count, 8, 8, 3), np.float32))
    assert engine.infer(np.zeros((2, 8, 8, 3), np.uint8)).shape == (2, 4)  # and it goes on


def test_requests_that_failed_are_not_waited_for(compiled: CompiledModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenVINO keeps a request whose start was refused; with as many as there are streams the next call hung."""
    import openvino

    class Refusing(openvino.AsyncInferQueue):
        """Is handed half of each picture."""

        def start_async(self, inputs: Any, userdata: Any, share_inputs: bool) -> None:
            super().start_async([inputs[0][:, :4]], userdata, share_inputs)

    engine = engine_openvino.start(compiled)
    images = np.zeros((2, 8, 8, 3), np.uint8)
    with monkeypatch.context() as patch:
        patch.setattr(openvino, "AsyncInferQueue", Refusing)
        for _ in range(4):
            with pytest.raises(EngineError, match="failed on a batch"):
                engine.infer(images)
    assert engine.infer(images).shape == (2, 4)


@pytest.mark.parametrize("harm", ["cut", "flip", "empty", "folder", "foreign"])
def test_a_damaged_entry_is_compiled_anew(compiled: CompiledModel, cache: Path, network: Any, harm: str) -> None:
    images = np.random.default_rng(0).integers(0, 256, (1, 8, 8, 3), np.uint8)
    wanted = engine_openvino.start(compiled).run(images)
    (entry,) = cache.iterdir()
    content = entry.read_bytes()
    if harm == "folder":
        entry.unlink()
        entry.mkdir()
    else:
        middle = len(content) // 2
        flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        foreign = hashlib.sha256(flipped[-DIGEST:]).digest() + flipped[-DIGEST:]  # whole, but no network
        entry.write_bytes({"cut": content[:middle], "flip": flipped, "empty": b"", "foreign": foreign}[harm])
    np.testing.assert_array_equal(engine_openvino.start(compiled).run(images), wanted)
    if harm != "folder":
        mended = entry.read_bytes()
        assert hashlib.sha256(mended[DIGEST:]).digest() == mended[:DIGEST]


def test_what_was_compiled_before_is_used_again(cache: Path) -> None:
    calls: list[int] = []

    def compile_now() -> bytes:
        calls.append(1)
        return b"program"

    assert [cached_blob(("a", 1), compile_now) for _ in range(3)] == [b"program"] * 3
    assert len(calls) == 1
    cached_blob(("a", 2), compile_now)
    assert len(calls) == 2
    assert cached_blob(("a", 2), lambda: b"anew", refused=True) == b"anew"
    assert cached_blob(("a", 2), compile_now) == b"anew"
    assert cache.stat().st_mode & 0o777 == 0o700


def test_a_folder_that_others_can_write_to_is_left_alone(cache: Path) -> None:
    cache.mkdir(parents=True)
    cache.chmod(0o777)
    assert cached_blob(("a",), lambda: b"program") == b"program"
    assert list(cache.iterdir()) == []


def test_what_was_used_longest_ago_goes_first(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled_cache, "CACHE_BYTES", 250)
    cached_blob(("old",), lambda: bytes(60))
    (old,) = cache.iterdir()
    os.utime(old, (1, 1))
    cached_blob(("used",), lambda: bytes(60))
    (used,) = set(cache.iterdir()) - {old}
    os.utime(used, (2, 2))
    cached_blob(("used",), lambda: b"")
    cached_blob(("new",), lambda: bytes(60))
    assert not old.exists()
    assert used.exists()
    assert len(list(cache.iterdir())) == 2


@pytest.mark.parametrize(("module", "device"), [(engine_openvino_gpu, "GPU"), (engine_openvino_npu, "NPU")])
def test_a_device_that_is_not_there_is_named_with_what_it_needs(module: Any, device: str) -> None:
    import openvino

    if any(name.startswith(device) for name in openvino.Core().available_devices):
        assert module.probe()
        return
    with pytest.raises(DependencyError, match=rf"openvino_{device.lower()}: OpenVINO sees only CPU here; .*driver"):
        module.probe()
