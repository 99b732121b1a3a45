from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from allweather.runtimes.errors import UsageError
from allweather.trainers.losses.consistency import feature_map_loss, stability_loss


def maps(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(shape, generator=generator, dtype=torch.float64)


def equation_6(layers: list[Tensor]) -> float:
    """Word for word, pair by pair."""
    pairs = len(layers[0]) // 2
    losses = []
    for number in range(pairs):
        total = 0.0
        for layer in layers:
            clean, augmented = layer[number].numpy(), layer[number + pairs].numpy()
            total += np.linalg.norm((clean - augmented) / clean.mean()) ** 2 / clean.size
        losses.append(total / len(layers))
    return float(np.mean(losses))


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_the_feature_map_loss_is_equation_6(memory: torch.memory_format) -> None:
    layers = [maps(6, 4, 5, 3).contiguous(memory_format=memory), maps(6, 7, seed=1)]
    assert float(feature_map_loss(layers)) == pytest.approx(equation_6(layers), rel=1e-6)


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_its_gradients_are_those_of_autograd(memory: torch.memory_format) -> None:
    def plainly(layer: Tensor) -> Tensor:
        clean, augmented = layer.flatten(1).chunk(2)
        return (((clean - augmented) / clean.mean(1, keepdim=True)) ** 2).mean()

    ours = maps(6, 4, 5, 3).contiguous(memory_format=memory).requires_grad_()
    theirs = ours.detach().clone().requires_grad_()
    (3 * feature_map_loss([ours])).backward()  # type: ignore[no-untyped-call]
    (3 * plainly(theirs)).backward()  # type: ignore[no-untyped-call]
    assert ours.grad is not None
    assert theirs.grad is not None
    assert torch.allclose(ours.grad, theirs.grad, rtol=1e-5, atol=1e-9)
    assert ours.grad.is_contiguous(memory_format=memory)


def test_a_layer_that_lies_otherwise_in_memory_gets_its_gradient() -> None:
    plain = maps(4, 5, 3).requires_grad_()
    turned = plain.detach().permute(0, 2, 1).contiguous().permute(0, 2, 1).requires_grad_()  # as after a transpose
    for each in (plain, turned):
        feature_map_loss([each]).backward()
    assert plain.grad is not None
    assert turned.grad is not None
    torch.testing.assert_close(turned.grad, plain.grad)


def test_it_does_not_depend_on_the_scale_of_a_layer() -> None:
    layer = maps(4, 3, 2, 2)
    assert float(feature_map_loss([layer])) == pytest.approx(float(feature_map_loss([1000 * layer])))
    assert float(feature_map_loss([torch.cat([layer, layer])])) == 0


def test_a_dead_map_counts_nothing_and_gives_no_gradient() -> None:
    layer = maps(4, 3, 2, 2)
    layer[0] = 0
    layer.requires_grad_()
    loss = feature_map_loss([layer])
    loss.backward()  # type: ignore[no-untyped-call]
    assert float(loss.detach()) == pytest.approx(equation_6([layer.detach()[[1, 3]]]) / 2)
    assert layer.grad is not None
    assert not layer.grad[[0, 2]].any()
    assert layer.grad[[1, 3]].any()


def test_no_relu_is_said() -> None:
    with pytest.raises(UsageError, match="at least one ReLU"):
        feature_map_loss([])


def test_divergence_is_that_of_the_definition() -> None:
    clean, augmented = 4 * maps(5, 7), 4 * maps(5, 7, seed=1)
    p, q = clean.softmax(1), augmented.softmax(1)
    assert float(stability_loss(clean, augmented)) == pytest.approx(float((p * (p / q).log()).sum(1).mean()), rel=1e-5)
    assert float(stability_loss(clean, clean + 3)) == pytest.approx(0, abs=1e-6)
