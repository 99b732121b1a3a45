from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from allweather.trainers.models.activation_hooks import capture_activations

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


def test_relu6_is_captured_and_other_clamps_are_not() -> None:
    with capture_activations() as maps:
        nn.ReLU6()(X), nn.Hardtanh()(X), nn.GELU()(X), X.clamp(min=0)
    (output,) = maps
    assert torch.equal(output, X.clamp(0, 6))


def test_outputs_come_in_call_order_and_none_after_the_context_is_closed() -> None:
    class Foreign(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.relu(functional.relu(x) - 1)

    with capture_activations() as maps:
        Foreign()(X)
    Foreign()(X)
    assert [float(value.max()) for value in maps] == [8.0, 7.0]
