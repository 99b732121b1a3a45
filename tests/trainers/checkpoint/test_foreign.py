"""Weights of other programs: what can be read is read, and everything else is told what it is and what to do."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from allweather.runtimes.errors import CheckpointError
from allweather.runtimes.preprocess import InputSpec
from allweather.trainers.checkpoint.checkpoint import Checkpoint
from allweather.trainers.checkpoint.checkpoint_file import save_checkpoint
from allweather.trainers.checkpoint.state_dict import checkpoint_from_state_dict
from allweather.trainers.models.registry import build_model

CLASSES = ("blue", "green", "red")
SPEC = InputSpec(32, 32)


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return build_model("resnet20", 3, SPEC).network.state_dict()


def imported(path: Path, arch: str = "resnet20", spec: InputSpec = SPEC) -> Any:
    return checkpoint_from_state_dict(path, arch, CLASSES, spec).weights


def refused(path: Path, **how: Any) -> str:
    with pytest.raises(CheckpointError) as caught:
        imported(path, **how)
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) < 600
    assert "damaged" not in message
    return message


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "model.", "backbone.", "model.module._orig_mod."])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_prefixes_of_wrappers_are_known_in_any_nesting(
    weights: dict[str, Tensor], tmp_path: Path, prefix: str, suffix: str
) -> None:
    path, named = tmp_path / f"w{suffix}", {prefix + key: value for key, value in weights.items()}
    (torch.save if suffix == ".pth" else save_file)(named, path)
    assert all(torch.equal(value, weights[key]) for key, value in imported(path).items())


EXTRAS = {
    "the weights of classes in a loss of Lightning": ("model.", "criterion.weight", torch.ones(3)),
    "the counter of an AveragedModel": ("module.", "n_averaged", torch.tensor(5)),
    "a metric": ("net.", "val_accuracy.total", torch.zeros(1)),
}


@pytest.mark.parametrize("kind", EXTRAS)
def test_what_is_saved_beside_the_network_is_left_out_and_told(
    weights: dict[str, Tensor], tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    prefix, name, value = EXTRAS[kind]
    torch.save({"state_dict": {name: value, **{prefix + key: each for key, each in weights.items()}}}, tmp_path / "w")
    assert all(torch.equal(each, weights[key]) for key, each in imported(tmp_path / "w").items())
    assert name in caplog.text


@pytest.mark.parametrize("prefix", ["net.", "classifier_network.", "module.net."])
def test_a_prefix_of_any_name_is_taken_off(weights: dict[str, Tensor], tmp_path: Path, prefix: str) -> None:
    named = {prefix + key.replace("linear.", "fc."): value for key, value in weights.items() if "tracked" not in key}
    save_file(named, tmp_path / "w.safetensors")
    assert all(
        torch.equal(value, weights[key]) for key, value in imported(tmp_path / "w.safetensors").items()
        if "tracked" not in key
    )  # fmt: skip


def test_of_several_networks_none_is_guessed(weights: dict[str, Tensor], tmp_path: Path) -> None:
    both = {prefix + key: value for prefix in ("model.", "ema.") for key, value in weights.items()}
    torch.save({"state_dict": both}, tmp_path / "w.pth")
    assert "2 networks of this architecture, under ema. and model." in refused(tmp_path / "w.pth")


def test_a_network_of_gray_images_gets_its_cure(weights: dict[str, Tensor], tmp_path: Path) -> None:
    torch.save({**weights, "conv1.weight": weights["conv1.weight"].mean(1, keepdim=True)}, tmp_path / "w.pth")
    assert "the channels of its images are 1 where all are RGB" in refused(tmp_path / "w.pth")


def test_a_checkpoint_of_ours_keeps_the_order_of_its_classes(weights: dict[str, Tensor], tmp_path: Path) -> None:
    path = tmp_path / "own.safetensors"
    save_checkpoint(path, Checkpoint("resnet20", ("red", "blue", "green"), SPEC, weights, "folder:x", 1))
    assert "another order: red, blue, green" in refused(path)
    renamed = checkpoint_from_state_dict(path, "resnet20", ("rot", "blau", "gruen"), SPEC)
    assert renamed.classes == ("rot", "blau", "gruen")


@pytest.mark.parametrize("keys", [("state_dict",), ("model",), ("model_state_dict",), ("ema",), ("ema", "state_dict")])
def test_state_dicts_in_other_dicts_are_found(
    weights: dict[str, Tensor], tmp_path: Path, keys: tuple[str, ...]
) -> None:
    wrapped: Any = weights
    for key in reversed(keys):
        wrapped = {"epoch": 3, key: wrapped}
    torch.save(wrapped, tmp_path / "w.pth")
    assert all(torch.equal(value, weights[key]) for key, value in imported(tmp_path / "w.pth").items())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_taken(weights: dict[str, Tensor], tmp_path: Path, dtype: torch.dtype) -> None:
    save_file({k: v.to(dtype) if v.is_floating_point() else v for k, v in weights.items()}, tmp_path / "w.safetensors")
    assert all(value.dtype in (torch.float32, torch.int64) for value in imported(tmp_path / "w.safetensors").values())


def write_script(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:  # the members by which torch tells such files itself
        for name in ("data.pkl", "constants.pkl", "code/__torch__.py"):
            archive.writestr(f"w/{name}", b"")


OTHERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "whole model": (lambda path: torch.save(nn.Linear(2, 2), path), "holds a whole model .* torch.save"),
    "old whole model": (
        lambda path: torch.save(nn.Linear(2, 2), path, _use_new_zipfile_serialization=False),
        "holds a whole model .* torch.save",
    ),
    "list": (lambda path: torch.save([1, 2], path), "holds no state dict, but a list"),
    "TorchScript": (write_script, "is a TorchScript program"),
    "ONNX": (lambda path: path.write_bytes(b"\x08\x09\x12\x07pytorch" + bytes(90)), "is an ONNX graph"),
    "Keras": (lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(90)), "is a Keras file"),
    "web page": (lambda path: path.write_bytes(b"<!DOCTYPE html>"), "is a web page; download"),
    "LFS": (lambda path: path.write_bytes(b"version https://git-lfs.github.com/spec/v1\n"), "git lfs pull"),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_other_files_are_told_what_they_are(tmp_path: Path, kind: str) -> None:
    write, words = OTHERS[kind]
    write(tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match=words):
        imported(tmp_path / "w.pth")
    refused(tmp_path / "w.pth")


def test_nothing_in_a_file_is_run(tmp_path: Path) -> None:
    class Program:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "was run",)

    torch.save({"state_dict": Program()}, tmp_path / "w.pth")
    assert "could run any program" in refused(tmp_path / "w.pth")
    assert not (tmp_path / "was run").exists()


@pytest.mark.parametrize(
    ("value", "words"),
    [(float("nan"), "holds NaN"), (float("inf"), "infinity"), (1j, "is of type complex64"), (1, "is of type int32")],
)
def test_weights_that_are_no_real_numbers_are_refused(
    weights: dict[str, Tensor], tmp_path: Path, value: complex, words: str
) -> None:
    dtype = {int: torch.int32, complex: torch.complex64}.get(type(value), torch.float32)
    bad = weights | {"conv1.weight": torch.full(weights["conv1.weight"].shape, value, dtype=dtype)}
    torch.save(bad, tmp_path / "w.pth")
    message = refused(tmp_path / "w.pth")
    assert "conv1.weight" in message
    assert words in message


@pytest.mark.slow
def test_a_stem_for_larger_images_gets_the_right_cure(tmp_path: Path) -> None:
    for side, other, words in ((224, 32, "--size above 64, such as 224"), (32, 224, "--size up to 64, such as 32")):
        torch.save(build_model("resnet18", 3, InputSpec(side, side)).network.state_dict(), tmp_path / "w.pth")
        assert words in refused(tmp_path / "w.pth", arch="resnet18", spec=InputSpec(other, other))


def test_long_names_are_not_repeated(weights: dict[str, Tensor], tmp_path: Path) -> None:
    torch.save(weights | {"\x1b" + "9" * 5000: torch.zeros(1)}, tmp_path / "w.pth")
    assert "is not part of it" in refused(tmp_path / "w.pth")


@pytest.mark.parametrize("form", ["sparse", "meta"])
def test_weights_without_plain_values_are_refused(weights: dict[str, Tensor], tmp_path: Path, form: str) -> None:
    last = weights["linear.weight"]
    changed = last.to_sparse() if form == "sparse" else last.to("meta")
    torch.save({**weights, "linear.weight": changed}, tmp_path / "w.pth")
    assert form in refused(tmp_path / "w.pth")


@pytest.mark.filterwarnings("error")
def test_torch_prints_no_warning_of_its_own_beside_the_line(tmp_path: Path) -> None:
    """Found by fuzzing: torch warns of its old storages, which quantized tensors have as well."""
    path = tmp_path / "quantized.pth"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.save({"conv1.weight": torch.quantize_per_tensor(torch.ones(2, 3), 0.1, 0, torch.qint8)}, path)
    refused(path)
