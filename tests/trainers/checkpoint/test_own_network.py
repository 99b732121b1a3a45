"""Checkpoints of networks of the user's own: made, saved, and loaded back with the network that the user names."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from allweather.runtimes.errors import CheckpointError, DataError, UsageError
from allweather.runtimes.preprocess import InputSpec
from allweather.trainers.checkpoint.checkpoint import Checkpoint
from allweather.trainers.checkpoint.checkpoint_file import load_checkpoint, save_checkpoint

CLASSES = ("a", "b", "c")


def network(width: int = 6) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, width, 3), nn.BatchNorm2d(width), nn.SiLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(width, 3),
    )  # fmt: skip


class WithPositions(nn.Module):
    """A network with a buffer of whole numbers, as Swin has."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = network()
        self.register_buffer("positions", torch.arange(3))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.inner(images)[:, self.positions]
        return out


@pytest.mark.parametrize(
    "made", [network, WithPositions, lambda: network().to(torch.bfloat16), lambda: network().half()]
)
def test_a_module_comes_back_with_its_weights(made: Callable[[], nn.Module], tmp_path: Path) -> None:
    module = made()
    checkpoint = Checkpoint.of(module, CLASSES, InputSpec(16, 16, (0, 0, 0), (1, 1, 1)))
    save_checkpoint(tmp_path / "c.safetensors", checkpoint)
    images, own = torch.rand(2, 3, 16, 16), module.float().eval()
    loaded = load_checkpoint(tmp_path / "c.safetensors", model=made().float())
    with torch.no_grad():
        assert torch.allclose(loaded.classifier()(images), own(images), atol=1e-6)
        assert torch.allclose(checkpoint.classifier()(images), own(images), atol=1e-6)


def test_the_module_of_the_caller_is_never_changed() -> None:
    module = network().train()
    before = {key: value.clone() for key, value in module.state_dict().items()}
    classifier = Checkpoint.of(module, CLASSES, 16).classifier()
    for parameter in classifier.parameters():
        parameter.data.zero_()
    assert module.training
    assert all(torch.equal(before[key], value) for key, value in module.state_dict().items())


def test_a_file_imports_nothing_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_net_of_a_test.py").write_text(
        "from torch import nn\n"
        "def make(classes):\n"
        "    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, classes))\n"
    )
    monkeypatch.chdir(tmp_path)
    module = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 3))
    named = Checkpoint.of(module, CLASSES, 16).with_module("own_net_of_a_test:make")
    sys.modules.pop("own_net_of_a_test")
    save_checkpoint(tmp_path / "c.safetensors", named)
    loaded = load_checkpoint(tmp_path / "c.safetensors")
    assert loaded.arch == "own:own_net_of_a_test:make"
    with pytest.raises(CheckpointError, match=r"a network of your own, own_net_of_a_test:make; name it: --model"):
        loaded.classifier()
    assert "own_net_of_a_test" not in sys.modules
    again = load_checkpoint(tmp_path / "c.safetensors", model="own_net_of_a_test:make")
    assert torch.equal(again.classifier().network[2].weight, module[2].weight)


def test_weights_that_do_not_fit_the_named_network_are_told(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "c.safetensors", Checkpoint.of(network(), CLASSES, 16))
    with pytest.raises(CheckpointError, match=r"0.weight has the shape \[6, 3, 3, 3\]"):
        load_checkpoint(tmp_path / "c.safetensors", model=network(8))
    with pytest.raises(CheckpointError, match="do not fit the architecture"):
        load_checkpoint(tmp_path / "c.safetensors", model=nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()))


def test_what_is_wrong_with_a_module_is_told_when_the_checkpoint_is_made() -> None:
    with pytest.raises(UsageError, match=r"returns \[2, 3\]: name 3 classes"):
        Checkpoint.of(network(), ("a", "b"), 16)
    with pytest.raises(DataError, match="a"):
        Checkpoint.of(network(), ("a", "a", "b"), 16)
    broken = network()
    broken[0].weight.data[0] = torch.nan
    with pytest.raises(CheckpointError, match=r"the weight 0.weight holds NaN"):
        Checkpoint.of(broken, CLASSES, 16)
    lazy = nn.Sequential(nn.LazyConv2d(4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    with pytest.raises(UsageError, match="run it once"):
        Checkpoint.of(lazy, CLASSES, 16)


def test_a_network_on_the_meta_device_is_told() -> None:
    with torch.device("meta"):
        network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 2))
    with pytest.raises(UsageError, match="on the meta device"):
        Checkpoint.of(network, ("a", "b"), 16)


def test_a_state_that_is_no_tensor_is_told() -> None:
    class Counting(nn.Sequential):
        def get_extra_state(self) -> dict[str, int]:
            return {"calls": 3}

        def set_extra_state(self, state: object) -> None: ...

    network = Counting(nn.Flatten(), nn.Linear(3 * 16 * 16, 2))
    with pytest.raises(UsageError, match="holds dict _extra_state, and a checkpoint holds tensors alone"):
        Checkpoint.of(network, ("a", "b"), 16)


@pytest.mark.parametrize("wrong", [{}, None, "classifier.pth", nn.Linear])
def test_what_is_no_network_is_told(wrong: object) -> None:
    with pytest.raises(UsageError, match=r"the network is a Module; got .* checkpoint_from_state_dict"):
        Checkpoint.of(wrong, ("a", "b"), 32)  # type: ignore[arg-type]
