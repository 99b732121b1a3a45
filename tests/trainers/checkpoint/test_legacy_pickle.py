"""Files as torch before version 1.6 saved them, such as torchvision's older weights."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from allweather.runtimes.errors import CheckpointError
from allweather.runtimes.preprocess import InputSpec
from allweather.trainers.checkpoint.foreign import read_state_dict
from allweather.trainers.checkpoint.legacy_pickle import legacy_fault
from allweather.trainers.models.registry import build_model


def save(values: object, path: Path) -> Path:
    torch.save(values, path, _use_new_zipfile_serialization=False)
    return path


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_an_old_file_is_read_as_it_is(tmp_path: Path, dtype: torch.dtype) -> None:
    weights = build_model("resnet20", 10, InputSpec(32, 32)).network.to(dtype).state_dict()
    path = save({"epoch": 3, "state_dict": weights}, tmp_path / "old.pth")
    assert legacy_fault(path) == ""
    read = read_state_dict(path)
    assert all(torch.equal(read[key], value) for key, value in weights.items())


def test_tensors_that_share_a_storage_count_once(tmp_path: Path) -> None:
    whole = torch.arange(1000.0)
    path = save({"first": whole[:500], "second": whole[500:], "again": whole}, tmp_path / "old.pth")
    assert torch.equal(read_state_dict(path)["again"], whole)


def test_a_file_that_asks_for_more_than_it_has_is_refused_before_torch_reads_it(tmp_path: Path) -> None:
    path = save({"w": torch.zeros(70_000)}, tmp_path / "old.pth")
    content = path.read_bytes()
    sizes = (70_000).to_bytes(4, "little")
    assert content.count(b"J" + sizes) >= 1  # BININT
    path.write_bytes(content.replace(b"J" + sizes, b"J" + (2_000_000_000).to_bytes(4, "little")))
    with pytest.raises(
        CheckpointError, match=r"as torch before version 1.6 saved, but its tensors take 8000000000 bytes"
    ):
        read_state_dict(path)
    path.write_bytes(content[:-1000])
    with pytest.raises(CheckpointError, match="it is cut or damaged"):
        read_state_dict(path)


def test_a_key_that_is_longer_than_the_file_takes_no_memory(tmp_path: Path) -> None:
    path = save({"w": torch.zeros(4)}, tmp_path / "old.pth")
    head, keys = path.read_bytes().rsplit(b"]", 1)  # the list of keys, which comes last
    assert keys.startswith((b"q\x00X", b"q\x00(X"))
    mark, rest = keys.split(b"X", 1)
    path.write_bytes(head + b"]" + mark + b"X" + (200 << 20).to_bytes(4, "little") + rest[4:])
    tracemalloc.start()
    with pytest.raises(CheckpointError, match="it is cut or damaged"):
        read_state_dict(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50 << 20


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=st.integers(0, 2000), byte=st.integers(0, 255))
@pytest.mark.slow
def test_a_damaged_byte_ends_in_weights_or_in_one_line(tmp_path: Path, where: int, byte: int) -> None:
    path = save({"a": torch.zeros(3, 4), "b": torch.ones(5, dtype=torch.int64)}, tmp_path / "old.pth")
    content = bytearray(path.read_bytes())
    content[where % len(content)] = byte
    path.write_bytes(content)
    tracemalloc.start()
    try:
        read_state_dict(path)
    except CheckpointError:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 50 << 20
