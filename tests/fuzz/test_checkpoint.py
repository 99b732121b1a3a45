"""Damaged checkpoints and foreign weights, made of real ones."""

from __future__ import annotations

import io
import json
import random
import struct
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mutations import fuzz, mutated, opened_or_refused
from safetensors.torch import save_file

from allweather.trainers.checkpoint import tensor_file
from allweather.trainers.checkpoint.checkpoint_file import load_checkpoint
from allweather.trainers.checkpoint.foreign import plain_names, read_state_dict

SMALL = ("conv1.weight", "bn1.weight", "bn1.num_batches_tracked", "linear.bias")  # of the many weights


@pytest.fixture(scope="module")
def good(sample_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sample's checkpoint with its whole header and few of its weights."""
    source = sample_bundle.parents[1] / "checkpoints" / "resnet20-robust-0.safetensors"
    weights, header = tensor_file.read(source)
    assert header is not None
    path = tmp_path_factory.mktemp("fuzz") / "good.safetensors"
    tensor_file.write(path, {key: value for key, value in weights.items() if key in SMALL}, header)
    load_checkpoint(path)
    return path


@fuzz
@given(seed=st.integers(0, 2**64 - 1))
@pytest.mark.slow
def test_checkpoint(good: Path, seed: int) -> None:
    content, rng = good.read_bytes(), random.Random(seed)
    (length,) = struct.unpack("<Q", content[:8])
    if rng.random() < 0.7:  # a damaged header of the right length, so that what is behind the first check is reached
        header = mutated(content[8 : 8 + length], rng)
        content = struct.pack("<Q", len(header)) + header + content[8 + length :]
    else:
        content = mutated(content, rng, range(8 + length))
    path = good.with_name("bad.safetensors")
    path.write_bytes(content)
    opened_or_refused(lambda: load_checkpoint(path), len(content))


@fuzz
@given(seed=st.integers(0, 2**64 - 1))
@pytest.mark.slow
def test_text_of_the_header(good: Path, seed: int) -> None:
    """A whole safetensors file whose JSON text is damaged."""
    weights, header = tensor_file.read(good)
    text = mutated(json.dumps(header).encode(), random.Random(seed)).decode("utf-8", "replace")
    path = good.with_name("bad-text.safetensors")
    save_file(weights, path, {tensor_file.METADATA_KEY: text})
    opened_or_refused(lambda: load_checkpoint(path), path.stat().st_size)


@fuzz
@given(seed=st.integers(0, 2**64 - 1), as_zip=st.booleans())
@pytest.mark.slow
def test_foreign_weights(good: Path, seed: int, as_zip: bool) -> None:
    stream = io.BytesIO()
    torch.save({"state_dict": tensor_file.read(good)[0]}, stream, _use_new_zipfile_serialization=as_zip)
    content = mutated(stream.getvalue(), random.Random(seed))
    path = good.with_name("bad.pth")
    path.write_bytes(content)
    opened_or_refused(lambda: plain_names(read_state_dict(path)), len(content))
