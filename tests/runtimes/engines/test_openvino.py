"""OpenVINO: images side by side give the same outputs as one by one; the cache of compiled models is verified."""

from __future__ import annotations

import hashlib
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from endless_network import endless_network

from allweather.runtimes.engines import openvino_cache
from allweather.runtimes.engines.base import CompiledModel
from allweather.runtimes.engines.openvino import OpenvinoEngine, probe, start
from allweather.runtimes.engines.openvino_cache import DIGEST_BYTES, cached_blob
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
def test_each_image_of_a_batch_gets_the_outputs_that_it_gets_alone(compiled: CompiledModel, count: int) -> None:
    engine = start(compiled, "CPU")
    images = np.random.default_rng(count).integers(0, 256, (count, 8, 8, 3), np.uint8)
    alone = np.concatenate([engine.infer(image[None]) for image in images])
    np.testing.assert_array_equal(engine.infer(images), alone)


def test_images_of_another_size_are_refused_alone_and_side_by_side(compiled: CompiledModel) -> None:
    engine = start(compiled, "CPU")
    for count in (1, 2):
        for height in (1, 9):  # numpy would stretch the first
            with pytest.raises(EngineError, match=rf"failed on a batch of shape \[{count}, {height}, 8, 3\]"):
                engine.infer(np.zeros((count, height, 8, 3), np.uint8))
        with pytest.raises(EngineError, match="failed on a batch"):
            engine.infer(np.zeros((count, 8, 8, 3), np.float32))
    assert engine.infer(np.zeros((2, 8, 8, 3), np.uint8)).shape == (2, 4)  # the engine still works


def test_requests_that_failed_are_not_waited_for(compiled: CompiledModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once both requests had failed, the next call hung."""
    engine = OpenvinoEngine(compiled, "CPU")
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), np.uint8)
    expected = engine.infer(images)
    for request in engine._parallel:
        with monkeypatch.context() as patch:
            patch.setattr(request, "_request", FailingRequest())
            for call in (engine.infer, lambda each: engine.infer_within(each, 10.0)):
                with pytest.raises(EngineError, match=r"failed on a batch of shape .*the device is lost"):
                    call(images)
    np.testing.assert_array_equal(engine.infer(images), expected)


class FailingRequest:
    """A request that cannot be started."""

    def start_async(self) -> None:
        raise RuntimeError("the device is lost")


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_call_within_its_time_gives_the_same_outputs(compiled: CompiledModel, count: int) -> None:
    engine = OpenvinoEngine(compiled, "CPU")
    images = np.random.default_rng(count).integers(0, 256, (count, 8, 8, 3), np.uint8)
    np.testing.assert_array_equal(engine.infer_within(images, 10.0), engine.infer(images))


@pytest.mark.parametrize("seconds", [10.0, math.inf])
def test_a_call_that_was_interrupted_leaves_no_outputs_to_the_next_one(compiled: CompiledModel, seconds: float) -> None:
    engine = OpenvinoEngine(compiled, "CPU")
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), np.uint8)
    expected = engine.infer(images)
    for request in (engine._request, *engine._parallel):
        request.start(255 - images[0], math.inf)  # and Ctrl-C comes
    np.testing.assert_array_equal(engine.infer_within(images, seconds), expected)
    np.testing.assert_array_equal(engine.infer_within(images[1:], seconds), expected[1:])


@pytest.mark.slow
def test_a_call_that_never_ends_is_given_up_and_left_behind(tmp_path: Path) -> None:
    """OpenVINO would wait for its end when the request is freed. In a process of its own, as it keeps a core busy."""
    import openvino

    (tmp_path / "endless.onnx").write_bytes(endless_network(2, 4))
    openvino.save_model(openvino.convert_model(tmp_path / "endless.onnx"), tmp_path / "endless.xml")
    command = [sys.executable, "-c", ENDLESS]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stdout) == (0, "given up\nclosed\n"), done.stderr


ENDLESS = """
from pathlib import Path

import numpy as np

from allweather.runtimes.engines.base import CompiledModel
from allweather.runtimes.engines.openvino import OpenvinoEngine
from allweather.runtimes.preprocess import InputSpec

files = [Path(name).read_bytes() for name in ("endless.xml", "endless.bin")]
engine = OpenvinoEngine(CompiledModel(*files, "fp32", InputSpec(4, 4), 2), "CPU")
try:
    engine.infer_within(np.zeros((1, 4, 4, 3), np.uint8), 0.2)
except TimeoutError:
    print("given up", flush=True)
engine.interrupt()
engine.close()
print("closed", flush=True)
"""


@pytest.mark.parametrize("harm", ["cut", "flip", "empty", "folder", "foreign"])
def test_a_damaged_entry_is_compiled_again(compiled: CompiledModel, cache: Path, network: Any, harm: str) -> None:
    images = np.random.default_rng(0).integers(0, 256, (1, 8, 8, 3), np.uint8)
    expected = start(compiled, "CPU").infer(images)
    (entry,) = cache.iterdir()
    content = entry.read_bytes()
    if harm == "folder":
        entry.unlink()
        entry.mkdir()
    else:
        middle = len(content) // 2
        flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        foreign = hashlib.sha256(flipped[-DIGEST_BYTES:]).digest() + flipped[-DIGEST_BYTES:]  # intact, but not a model
        entry.write_bytes({"cut": content[:middle], "flip": flipped, "empty": b"", "foreign": foreign}[harm])
    np.testing.assert_array_equal(start(compiled, "CPU").infer(images), expected)
    if harm != "folder":
        replaced = entry.read_bytes()
        assert hashlib.sha256(replaced[DIGEST_BYTES:]).digest() == replaced[:DIGEST_BYTES]


def test_a_compiled_model_is_taken_from_the_cache(cache: Path) -> None:
    calls: list[int] = []

    def compile_now() -> bytes:
        calls.append(1)
        return b"program"

    assert [cached_blob(("a", 1), compile_now) for _ in range(3)] == [b"program"] * 3
    assert len(calls) == 1
    cached_blob(("a", 2), compile_now)
    assert len(calls) == 2
    assert cached_blob(("a", 2), lambda: b"again", replace=True) == b"again"
    assert cached_blob(("a", 2), compile_now) == b"again"
    assert cache.stat().st_mode & 0o777 == 0o700


def test_a_folder_that_others_can_write_to_is_not_used(cache: Path) -> None:
    cache.mkdir(parents=True)
    cache.chmod(0o777)
    assert cached_blob(("a",), lambda: b"program") == b"program"
    assert list(cache.iterdir()) == []


def test_the_least_recently_used_entry_is_deleted_first(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino_cache, "MAX_CACHE_BYTES", 250)
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


@pytest.mark.parametrize("device", ["GPU", "NPU"])
def test_a_missing_device_is_named_with_the_driver_that_it_needs(device: str) -> None:
    import openvino

    if any(name.startswith(device) for name in openvino.Core().available_devices):
        assert probe(device)
        return
    with pytest.raises(DependencyError, match=rf"openvino_{device.lower()}: OpenVINO finds only CPU here; .*driver"):
        probe(device)


ALTERNATE_STACK = """
import gc, os, signal, threading
from pathlib import Path
from allweather.runtimes.engines.base import CompiledModel
from allweather.runtimes.engines.openvino import start
from allweather.runtimes.preprocess import InputSpec

model = CompiledModel(Path("m.xml").read_bytes(), Path("m.bin").read_bytes(), "fp32", InputSpec(8, 8), 4)
engines = [start(model, "CPU") for _ in range(3)]
del engines[0]
gc.collect()
del engines[0]
gc.collect()
last = threading.Thread(target=lambda: (engines.clear(), gc.collect()))
last.start()
last.join()
signal.signal(signal.SIGTERM, lambda number, frame: print("handled"))
os.kill(os.getpid(), signal.SIGTERM)
"""


@pytest.mark.slow
def test_a_signal_after_engines_are_gone_reaches_its_handler(network: Any, tmp_path: Path) -> None:
    """The plugin's stack for signal handlers was gone, too, so that the signal ended the process."""
    (tmp_path / "m.xml").write_bytes(network.xml)
    (tmp_path / "m.bin").write_bytes(network.bin)
    code = [sys.executable, "-c", ALTERNATE_STACK]
    done = subprocess.run(code, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (0, "handled\n"), done.stderr
