"""Networks of the user's own: named, imported and checked."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from allweather.runtimes.errors import UsageError
from allweather.runtimes.preprocess import InputSpec
from allweather.trainers.models.classifier import Classifier
from allweather.trainers.models.own_model import check_network, check_trainable, import_own_model

SOURCE = """
from torch import nn

def tiny(num_classes):
    layers = nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    return nn.Sequential(*layers, nn.Linear(8, num_classes))

def fixed():
    return tiny(3)

def number():
    return 3

def positional(count):
    return tiny(count)

def two(first, second):
    return tiny(first)

def broken(num_classes):
    return tiny({}["width"])

made = tiny(3)
"""


@pytest.fixture
def own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """A module of a name of its own in the current folder, as each test imports it anew."""
    name = f"own_{abs(hash(request.node.name))}"
    (tmp_path / f"{name}.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    return name


@pytest.mark.parametrize(("function", "classes"), [("tiny", 5), ("fixed", 3), ("positional", 4)])
def test_a_function_in_the_current_folder_makes_the_network(own_module: str, function: str, classes: int) -> None:
    network = import_own_model(f"{own_module}:{function}", classes)
    check_network(Classifier(network, InputSpec(16, 16)), classes, (16, 16), function)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nothing_here:tiny", "there is no module nothing_here"),
        ("{}:other", r"has no function other; it has .*tiny"),
        ("{}:number", "returned a int; it has to return an nn.Module"),
        ("{}:two", r"two cannot be called: missing a required argument: 'first'; .* the only one without a default"),
        ("{}:made", r"made is a network, and not a function .*: write def build\(num_classes\): return Sequential"),
        ("{}:broken", r"broken fails: KeyError: 'width' \(own_\d+\.py, line \d+\); mend it or name another function"),
        ("{}", "is named as package.module:function; got"),
        ("os.path;x:y", "is named as package.module:function; got"),
        ("resnet20", "got 'resnet20', which is an architecture: write --arch resnet20"),
        (
            "torchvision:resnet18",
            r"got 'torchvision:resnet18', which is an architecture: write --arch torchvision:resnet18",
        ),
    ],
)
def test_what_cannot_be_imported_is_told(own_module: str, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        import_own_model(text.format(own_module), 3)


class Two(nn.Module):
    def forward(self, images: Tensor, masks: Tensor) -> Tensor:
        return images.mean((2, 3)) + masks


class Pair(nn.Module):
    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return images.mean((2, 3)), images


class Named(nn.Module):
    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return {"logits": images.mean((2, 3))}


class OnlyInTraining(nn.Module):
    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        logits = images.mean((2, 3))
        return (logits, logits) if self.training else logits


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (Two(), r"takes one input, the images; the network takes 2 \(images, masks\)"),
        (Pair(), r"returns a tuple of 2"),
        (Named(), r"returns a dict of logits"),
        (OnlyInTraining(), r"returns a tuple of 2 in train mode"),
        (nn.Identity(), r"returns logits \[2, 3\]; the network returns \[2, 3, 16, 16\]"),
        (nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 4)), r"returns \[2, 4\]: name 4 classes, or give it"),
        (nn.Sequential(nn.Flatten(), nn.Linear(3, 3)), r"cannot classify images of float \[n, 3, 16, 16\]"),
        (nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 3), nn.Softmax(1)), "returns probabilities: .*Softmax"),
        (nn.Conv2d(1, 3, 3), r"cannot classify images of float \[n, 3, 16, 16\]"),
    ],
)
def test_what_is_no_classifier_is_told_in_a_line(network: nn.Module, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        check_network(Classifier(network, InputSpec(16, 16)), 3, (16, 16), "the network")
    assert "\n" not in str(caught.value)


def test_the_check_changes_nothing() -> None:
    network = nn.Sequential(nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    before = {key: value.clone() for key, value in network.state_dict().items()}
    check_network(Classifier(network, InputSpec(16, 16)), 3, (16, 16), "the network")
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
def test_a_network_without_weights_to_train_is_told() -> None:
    network = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU())
    check_trainable(network)
    with pytest.raises(UsageError, match="all of its 56 weights are frozen: call requires_grad_"):
        check_trainable(network.requires_grad_(False))
    with pytest.raises(UsageError, match="no weights to train; it has none"):
        check_trainable(nn.Sequential(nn.ReLU()))
    with pytest.raises(UsageError, match="TorchScript cannot be trained here"):
        check_trainable(nn.Sequential(torch.jit.script(nn.Linear(2, 2))))
