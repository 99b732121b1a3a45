"""Activation hooks: every kind of activation function is seen, gates are not, and layers can be named."""

from __future__ import annotations

import logging

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from allweather.runtimes.errors import UsageError
from allweather.runtimes.preprocess import InputSpec
from allweather.trainers.models.activation_hooks import (
    capture_activations,
    capture_layer,
    check_activations,
    find_layers,
)
from allweather.trainers.models.registry import build_model
from allweather.trainers.torchvision_import import import_torchvision

X = torch.linspace(-2, 8, 12).reshape(1, 3, 2, 2)


@pytest.mark.parametrize(
    "relu",
    [
        nn.ReLU(),
        nn.Sequential(nn.Identity(), nn.ReLU(inplace=True)),
        functional.relu,
        torch.relu,
        lambda x: x.clone().relu_(),
        lambda x: functional.relu(x, inplace=False),
    ],
)
def test_every_way_to_call_a_relu_is_captured_once(relu: object) -> None:
    with capture_activations() as maps:
        relu(X.clone())  # type: ignore[operator]
    (output,) = maps
    assert torch.equal(output, X.clamp(min=0))


@pytest.mark.parametrize(
    "activation",
    [
        nn.ReLU6(), nn.LeakyReLU(0.1), nn.PReLU(), nn.RReLU(), nn.SiLU(), nn.SiLU(inplace=True), nn.GELU(),
        nn.Hardswish(), nn.Mish(), nn.ELU(), nn.SELU(), nn.CELU(), nn.Softplus(), functional.gelu, torch.prelu,
    ],
)  # fmt: skip
def test_every_kind_of_activation_is_captured_once(activation: object) -> None:
    arguments = (X.clone(), torch.tensor([0.25])) if activation is torch.prelu else (X.clone(),)
    with capture_activations() as maps:
        expected = activation(*arguments)  # type: ignore[operator]
    (output,) = maps
    assert output is expected


def test_relu6_clamps_and_other_clamps_are_not_activations() -> None:
    with capture_activations() as maps:
        nn.ReLU6()(X), nn.Hardtanh()(X), X.clamp(min=0), torch.sigmoid(X)
    (output,) = maps
    assert torch.equal(output, X.clamp(0, 6))


# activations in the published networks that are not in a squeeze-excite gate, counted in their papers' tables
ACTIVATIONS = {
    "efficientnet_b0": 33, "mobilenet_v3_small": 24, "convnext_tiny": 18, "vit_b_16": 12, "regnet_y_400mf": 49,
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("side", [32, 64])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_of_published_networks_without_their_gates(name: str, side: int) -> None:
    options = {"image_size": side} if name == "vit_b_16" else {}
    model = getattr(import_torchvision("models"), name)(weights=None, **options).eval()
    with torch.no_grad(), capture_activations() as maps:
        model(torch.rand(2, 3, side, side))
    assert len(maps) == ACTIVATIONS[name]


class SqueezeExcite(nn.Module):
    """A gate as it is often written: its sigmoid is reshaped before the product."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.up, self.last = nn.Linear(4, 2), nn.Linear(2, 4), nn.Conv2d(4, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        gate = torch.sigmoid(self.up(functional.silu(self.down(x.mean((2, 3))))))
        return functional.silu(self.last(x * gate.view(len(x), 4, 1, 1).expand_as(x)))


@pytest.mark.parametrize("side", [1, 2, 8])
def test_a_gate_is_left_out_on_maps_of_every_size(side: int) -> None:
    model, images = SqueezeExcite(), torch.rand(3, 4, side, side)
    with capture_activations() as maps:
        output = model(images)
    (captured,) = maps
    assert captured is output


def test_named_layers_are_captured_instead() -> None:
    model = build_model("resnet20", 4, InputSpec(32, 32)).eval()
    names = [name for name, _ in model.network.named_modules() if name]
    with torch.no_grad(), capture_activations(model, [names[-1], names[0]]) as maps:
        output = model(torch.rand(2, 3, 32, 32))
    assert len(maps) == 2
    assert maps[-1] is output
    with torch.no_grad():
        model(torch.rand(2, 3, 32, 32))
    assert len(maps) == 2  # the hooks are gone
    with pytest.raises(UsageError, match=f"no layer is called '{names[0]}x'. There are: {names[0]}"):
        find_layers(model, [names[0] + "x"])


def test_the_last_activation_on_feature_maps_needs_no_name() -> None:
    model = build_model("resnet20", 3, InputSpec(32, 32)).eval()
    images = torch.rand(2, 3, 32, 32)
    with capture_activations(model, ["layer3.2.relu2"]) as named, capture_activations(layers=["last"]) as last:
        model(images)
    assert len(last) == 1
    assert last[0] is named[0]
    head = nn.Sequential(nn.Flatten(), nn.Linear(12, 4), nn.ReLU(), nn.Linear(4, 4), nn.GELU(), nn.Linear(4, 2))
    with capture_activations(layers=["last"]) as last:
        head(torch.rand(2, 3, 2, 2))
    assert [each.shape for each in last] == [(2, 4)]  # there are no maps
    assert check_activations(model, (32, 32), ["last"]) == 1
    with pytest.raises(UsageError, match="needs the output of at least one activation"):
        check_activations(nn.Sequential(nn.Flatten(), nn.Linear(12, 2)), (2, 2), ["last"])


def test_a_layer_without_one_tensor_is_refused() -> None:
    model = nn.ModuleDict({"attention": nn.MultiheadAttention(4, 2)})
    x = torch.rand(3, 1, 4)
    with (
        pytest.raises(UsageError, match="output of layer attention is not a tensor of numbers but tuple"),
        capture_activations(model, ["attention"]),
    ):
        model["attention"](x, x, x)


def test_a_network_with_few_activations_is_told(caplog: pytest.LogCaptureFixture) -> None:
    convolutions = [nn.Conv2d(3, 3, 1) for _ in range(25)]
    few = nn.Sequential(*convolutions, nn.ReLU(), nn.Flatten(), nn.Linear(3 * 8 * 8, 2))
    with caplog.at_level(logging.WARNING):
        assert check_activations(few, (8, 8)) == 1
    assert "compares 1 activation, and the network has 26 layers with weights" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        assert check_activations(few, (8, 8), ["3", "9"]) == 2
        assert check_activations(build_model("resnet20", 4, InputSpec(32, 32)), (32, 32)) == 19
    assert not caplog.text
    with pytest.raises(UsageError, match=r"calls none that is known; name layers to compare \(--layers\)"):
        check_activations(nn.Sequential(nn.Flatten(), nn.Linear(192, 2)), (8, 8))
    few.add_module("spare", nn.Identity())
    few.forward = few[:-1].forward  # type: ignore[method-assign]
    with pytest.raises(UsageError, match="layer spare is not run"):
        check_activations(few, (8, 8), ["3", "spare"])


def test_outputs_come_in_call_order_and_none_after_the_context_is_closed() -> None:
    class Foreign(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.relu(functional.relu(x) - 1)

    with capture_activations() as maps:
        Foreign()(X)
    Foreign()(X)
    assert [float(value.max()) for value in maps] == [8.0, 7.0]


def test_layers_are_names_of_a_given_network() -> None:
    with pytest.raises(UsageError, match=r"a list of names; got the text 'layer1': write \['layer1'\]"):
        find_layers(nn.Sequential(), "layer1")
    with pytest.raises(UsageError, match="those of a network; name it"), capture_activations(layers=["layer1"]):
        pass


def test_another_layer_to_capture_is_refused() -> None:
    with pytest.raises(UsageError, match="no layer is called 'logits'"), capture_layer(nn.Sequential(), "logits"):  # type: ignore[arg-type]
        pass
