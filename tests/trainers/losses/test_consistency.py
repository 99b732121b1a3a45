from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from allweather.runtimes.errors import UsageError
from allweather.trainers.losses.consistency import ai_loss, feature_map_loss, kl_divergence, stability_loss


def maps(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(shape, generator=generator, dtype=torch.float64)


def equation_6(layers: list[Tensor]) -> float:
    """Eq. 6 of Kapoor et al., term by term, averaged over the pairs."""
    pairs = len(layers[0]) // 2
    losses = []
    for index in range(pairs):
        total = 0.0
        for layer in layers:
            clean, augmented = layer[index].numpy(), layer[index + pairs].numpy()
            total += np.linalg.norm((clean - augmented) / clean.mean()) ** 2 / clean.size
        losses.append(total / len(layers))
    return float(np.mean(losses))


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_the_feature_map_loss_is_equation_6(memory: torch.memory_format) -> None:
    layers = [maps(6, 4, 5, 3).contiguous(memory_format=memory), maps(6, 7, seed=1)]
    assert float(feature_map_loss(layers)) == pytest.approx(equation_6(layers), rel=1e-6)


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_the_gradients_of_the_feature_map_loss_are_those_of_autograd(memory: torch.memory_format) -> None:
    def reference_loss(layer: Tensor) -> Tensor:
        clean, augmented = layer.flatten(1).chunk(2)
        return (((clean - augmented) / clean.mean(1, keepdim=True)) ** 2).mean()

    ours = maps(6, 4, 5, 3).contiguous(memory_format=memory).requires_grad_()
    theirs = ours.detach().clone().requires_grad_()
    (3 * feature_map_loss([ours])).backward()  # type: ignore[no-untyped-call]
    (3 * reference_loss(theirs)).backward()  # type: ignore[no-untyped-call]
    assert ours.grad is not None
    assert theirs.grad is not None
    assert torch.allclose(ours.grad, theirs.grad, rtol=1e-5, atol=1e-9)
    assert ours.grad.is_contiguous(memory_format=memory)


def test_signed_maps_are_compared_with_their_mean_magnitude() -> None:
    def reference_loss(layer: Tensor) -> Tensor:
        clean, augmented = layer.flatten(1).chunk(2)
        return (((clean - augmented) / clean.abs().mean(1, keepdim=True)) ** 2).mean()

    ours = (maps(6, 4, 5, 3) - 0.5).requires_grad_()  # their mean is about 0, and no scale
    theirs = ours.detach().clone().requires_grad_()
    for loss in (-feature_map_loss([ours]), -reference_loss(theirs)):
        loss.backward()  # type: ignore[no-untyped-call]
    assert float(feature_map_loss([ours.detach()])) == pytest.approx(float(reference_loss(theirs.detach())), rel=1e-6)
    assert ours.grad is not None
    assert theirs.grad is not None
    assert torch.allclose(ours.grad, theirs.grad, rtol=1e-5, atol=1e-9)


def test_a_layer_that_is_not_contiguous_gets_its_gradient() -> None:
    plain = maps(4, 5, 3).requires_grad_()
    transposed = plain.detach().permute(0, 2, 1).contiguous().permute(0, 2, 1).requires_grad_()
    for each in (plain, transposed):
        feature_map_loss([each]).backward()
    assert plain.grad is not None
    assert transposed.grad is not None
    torch.testing.assert_close(transposed.grad, plain.grad)


def test_the_scale_of_a_layer_makes_no_difference() -> None:
    layer = maps(4, 3, 2, 2)
    assert float(feature_map_loss([layer])) == pytest.approx(float(feature_map_loss([1000 * layer])))
    assert float(feature_map_loss([torch.cat([layer, layer])])) == 0


def test_a_dead_map_counts_as_zero_and_gets_no_gradient() -> None:
    layer = maps(4, 3, 2, 2)
    layer[0] = 0
    layer.requires_grad_()
    loss = feature_map_loss([layer])
    loss.backward()  # type: ignore[no-untyped-call]
    assert float(loss.detach()) == pytest.approx(equation_6([layer.detach()[[1, 3]]]) / 2)
    assert layer.grad is not None
    assert not layer.grad[[0, 2]].any()
    assert layer.grad[[1, 3]].any()


def test_a_network_without_activations_is_an_error() -> None:
    with pytest.raises(UsageError, match="at least one activation function"):
        feature_map_loss([])


def kl(p: Tensor, q: Tensor) -> float:
    """The definition, on logits."""
    p, q = p.softmax(1), q.softmax(1)
    return float((p * (p / q).log()).sum(1).mean())


@pytest.mark.parametrize("loss", [kl_divergence, stability_loss])
def test_the_divergence_is_that_of_the_definition(loss: Callable[[Tensor, Tensor], Tensor]) -> None:
    clean, augmented = 4 * maps(5, 7), 4 * maps(5, 7, seed=1)
    assert float(loss(clean, augmented)) == pytest.approx(kl(clean, augmented), rel=1e-5)
    assert float(loss(clean, clean + 3)) == pytest.approx(0, abs=1e-6)


def test_the_ai_loss_is_the_divergence_in_both_directions() -> None:
    first, second = 4 * maps(5, 7), 4 * maps(5, 7, seed=1)
    assert float(ai_loss(first, second)) == pytest.approx(kl(first, second) + kl(second, first), rel=1e-5)


@pytest.mark.parametrize("maps", ["x", [None], [torch.ones(4, 3, dtype=torch.int64)], {"layer": torch.ones(4, 3)}])
def test_maps_of_another_type_are_told(maps: Any) -> None:
    with pytest.raises(UsageError, match=r"the maps to compare are tensors of floating-point numbers; got "):
        feature_map_loss(maps)


def test_maps_may_come_from_a_generator() -> None:
    maps = [torch.rand(4, 3, generator=torch.Generator().manual_seed(seed)) for seed in range(3)]
    assert torch.equal(feature_map_loss(iter(maps)), feature_map_loss(maps))  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [(2, 0), (2, 3, 0, 0), (0, 3)])
def test_maps_without_entries_are_told(shape: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match=r"\[2 n, ...\]; got"):
        feature_map_loss([torch.zeros(shape)])


def test_the_gradient_of_half_precision_is_that_of_float32() -> None:
    values = 1e-4 * torch.rand(4, 8, 4, 4, generator=torch.Generator().manual_seed(0))
    gradients = []
    for dtype in (torch.float16, torch.float32):
        maps = values.half().to(dtype).requires_grad_()
        feature_map_loss([maps]).backward()
        assert maps.grad is not None
        assert maps.grad.dtype == dtype
        gradients.append(maps.grad.float())
    torch.testing.assert_close(*gradients, rtol=2e-3, atol=1e-2)  # nan
