"""Properties that the three kinds of safetensors files share: checkpoints, loss predictors, learned augmentations."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import pytest
import torch
from safetensors.torch import save_file

from allweather.runtimes.errors import CheckpointError
from allweather.runtimes.preprocess import InputSpec
from allweather.trainers.augmentations.learned.augmentation import (
    AugmentationCheckpoint,
    load_augmentation,
    save_augmentation,
)
from allweather.trainers.checkpoint import tensor_file
from allweather.trainers.checkpoint.checkpoint import Checkpoint
from allweather.trainers.checkpoint.checkpoint_file import load_checkpoint, save_checkpoint
from allweather.trainers.checkpoint.predictor_file import TrainedPredictor, load_predictor, save_predictor

SPEC = InputSpec(32, 32)
WEIGHTS = {"weight": torch.arange(6.0).reshape(2, 3)}
SAVE: Mapping[str, Callable[[Path], None]] = MappingProxyType(
    {
        "checkpoint": lambda path: save_checkpoint(path, Checkpoint("resnet20", ("a", "b"), SPEC, WEIGHTS, "x", 0)),
        "predictor": lambda path: save_predictor(path, TrainedPredictor("tiny", SPEC, ("identity",), "0", WEIGHTS)),
        "augmentation": lambda path: save_augmentation(path, AugmentationCheckpoint("parallel", WEIGHTS, "x")),
    }
)
LOAD: Mapping[str, Callable[[Path], object]] = MappingProxyType(
    {"checkpoint": load_checkpoint, "predictor": load_predictor, "augmentation": load_augmentation}
)


def with_header(path: Path, **changes: object) -> None:
    """Rewrites a file with changed fields in its header."""
    tensors, header = tensor_file.read(path)
    assert header is not None
    save_file(tensors, path, {tensor_file.METADATA_KEY: json.dumps({**header, **changes})})


@pytest.mark.parametrize("kind", SAVE)
@pytest.mark.parametrize(("version", "words"), [(1, ["older", "again"]), (3, ["newer", "update allweather"])])
def test_another_schema_version_is_refused_in_one_line(
    kind: str, version: int, words: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "file.safetensors"
    SAVE[kind](path)
    LOAD[kind](path)
    with_header(path, schema_version=version)
    with pytest.raises(CheckpointError) as caught:
        LOAD[kind](path)
    message = str(caught.value)
    assert "\n" not in message
    for word in (str(path), f"file schema {version}", "this one reads 2", *words):
        assert word in message


@pytest.mark.parametrize("kind", SAVE)
def test_a_file_of_version_1_with_its_old_fields_is_refused_for_its_version(kind: str, tmp_path: Path) -> None:
    """The fields of version 1 had other names; the message is about the version and not about an unknown field."""
    path = tmp_path / "file.safetensors"
    SAVE[kind](path)
    with_header(path, schema_version=1, peak_rate=0.1, seen={"height": 32})
    with pytest.raises(CheckpointError, match="an older allweather"):
        LOAD[kind](path)


@pytest.mark.parametrize("kind", SAVE)
@pytest.mark.parametrize("other", SAVE)
def test_a_file_of_another_kind_is_refused(kind: str, other: str, tmp_path: Path) -> None:
    path = tmp_path / "file.safetensors"
    SAVE[other](path)
    if kind == other:
        LOAD[kind](path)
        return
    with pytest.raises(CheckpointError, match="holds"):
        LOAD[kind](path)


@pytest.mark.parametrize("version", [0, -1, 1.5, "2", None])
@pytest.mark.parametrize("kind", SAVE)
def test_an_invalid_schema_version_is_damage(kind: str, version: object, tmp_path: Path) -> None:
    path = tmp_path / "file.safetensors"
    SAVE[kind](path)
    with_header(path, schema_version=version)
    with pytest.raises(CheckpointError, match="is damaged: schema_version"):
        LOAD[kind](path)


def test_tensors_and_header_survive_and_nothing_else_is_written(tmp_path: Path) -> None:
    tensor_file.write(tmp_path / "a.safetensors", WEIGHTS, {"format": "x", "rows": [1, 2]})
    tensors, header = tensor_file.read(tmp_path / "a.safetensors")
    assert header == {"format": "x", "rows": [1, 2]}
    assert torch.equal(tensors["weight"], WEIGHTS["weight"])
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]


def test_a_path_that_is_no_utf8_is_read(tmp_path: Path) -> None:
    path = tmp_path / "caf\udce9.safetensors"
    tensor_file.write(path, WEIGHTS, {"format": "x", "classes": ["a", "b"]})
    tensors, header = tensor_file.read(path)
    assert torch.equal(tensors["weight"], WEIGHTS["weight"])
    assert header == {"format": "x", "classes": ["a", "b"]}
    assert tensor_file.stated_classes(path) == ("a", "b")
    path.write_bytes(b"x" * 100)
    with pytest.raises(CheckpointError, match="damaged"):
        tensor_file.read(path)


def test_tensors_that_share_memory_are_each_stored(tmp_path: Path) -> None:
    weights = torch.arange(12.0)
    tensors = {"a": weights, "tied": weights, "row": weights[3:6], "turned": weights.reshape(3, 4).T}
    tensor_file.write(tmp_path / "x.safetensors", tensors, {"format": "x"})
    read, _ = tensor_file.read(tmp_path / "x.safetensors")
    assert read.keys() == tensors.keys()
    assert all(torch.equal(read[key], tensors[key]) for key in tensors)
