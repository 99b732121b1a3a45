"""Architectures of timm and torchvision: built, normalized and loaded as their libraries say."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from allweather.runtimes.errors import DataError, UsageError
from allweather.runtimes.preprocess import InputSpec
from allweather.trainers.models.own_model import check_network
from allweather.trainers.models.registry import build_model, get_architecture, load_pretrained

NAMES = {
    "timm:resnet18d": 32,
    "timm:vit_tiny_patch16_224": 32,
    "torchvision:mobilenet_v3_small": 32,
    "torchvision:vit_b_16": 32,
    "torchvision:efficientnet_b0": 64,
    "torchvision:convnext_tiny": 64,
    "torchvision:regnet_y_400mf": 64,
    "torchvision:googlenet": 64,
}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "side"), NAMES.items())
def test_a_network_of_a_library_is_a_classifier(name: str, side: int) -> None:
    check_network(build_model(name, 7, InputSpec(side, side)), 7, (side, side), name)


def test_normalization_and_size_are_the_librarys_own() -> None:
    vit = get_architecture("timm:vit_base_patch16_224").usual_input
    assert (vit.height, vit.width, vit.mean, vit.std) == (224, 224, (0.5,) * 3, (0.5,) * 3)
    assert get_architecture("torchvision:efficientnet_b3").usual_input.height == 300
    assert get_architecture("torchvision:efficientnet_b3").usual_input.mean == (0.485, 0.456, 0.406)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("timm:resnet18x", r"no model of timm is called 'resnet18x'; did you mean resnet18"),
        ("timm:hf-hub:someone/model", r"no model of timm is called 'hf-hub:someone/model'"),
        ("timm:../resnet18", "no model of timm"),
        ("timm:", "no model of timm"),
        ("torchvision:resnet", r"no classifier of torchvision is called 'resnet'"),
        ("torchvision:fasterrcnn_resnet50_fpn", "no classifier of torchvision"),
        ("keras:resnet", r"no architecture is called 'keras:resnet'.* timm:NAME, torchvision:NAME"),
    ],
)
def test_what_a_library_does_not_have_is_named(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build_model(name, 3, InputSpec(32, 32))


def test_a_size_that_a_network_cannot_take_is_told() -> None:
    with pytest.raises(UsageError, match=r"torchvision:vit_b_16 cannot be built for images of 30 x 30 px: .*--size"):
        build_model("torchvision:vit_b_16", 3, InputSpec(30, 30))


def hub_cache(folder: Path, repository: str, weights: dict[str, torch.Tensor]) -> None:
    """Lays a repository into a cache of the hub, as a download leaves it."""
    base = folder / f"models--{repository.replace('/', '--')}"
    (base / "snapshots" / "0123").mkdir(parents=True)
    (base / "refs").mkdir()
    (base / "refs" / "main").write_text("0123")
    save_file(weights, base / "snapshots" / "0123" / "model.safetensors")


@pytest.mark.slow
def test_pretrained_weights_of_timm_come_from_its_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name, spec = "timm:resnet18d", InputSpec(32, 32)
    state = {key: value.contiguous() for key, value in build_model(name, 1000, spec).network.state_dict().items()}
    hub_cache(tmp_path, "timm/resnet18d.ra2_in1k", state)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    model = build_model(name, 3, spec)
    load_pretrained(model, name, 3, spec)
    own = model.network.state_dict()
    assert {key for key in own if not torch.equal(own[key], state[key])} == {"fc.weight", "fc.bias"}


@pytest.mark.slow
def test_a_download_that_fails_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    name, spec = "timm:resnet18d", InputSpec(32, 32)
    with pytest.raises(DataError, match="cannot download the pretrained weights of timm:resnet18d"):
        load_pretrained(build_model(name, 3, spec), name, 3, spec)
