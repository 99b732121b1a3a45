from __future__ import annotations

import copy
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.distributed import HashStore

from allweather.runtimes.errors import UsageError
from allweather.trainers.models.synced_batch_norm import synced_batch_norm


@pytest.fixture(autouse=True)
def _one_process() -> Iterator[None]:
    torch.distributed.init_process_group("gloo", store=HashStore(), rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


def networks(layer: nn.Module, first: nn.Module) -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    first.apply(lambda module: module.reset_parameters())  # the same ones in any order of the tests
    alone = nn.Sequential(first, layer, nn.Tanh())
    return alone, copy.deepcopy(alone)


def loss(network: nn.Module, x: Tensor) -> Tensor:
    outputs: Tensor = network(x)
    return (outputs * torch.linspace(0, 1, outputs.numel()).reshape(outputs.shape)).sum()


@pytest.mark.parametrize(
    ("layer", "first", "shape"),
    [
        (nn.BatchNorm2d(6), nn.Conv2d(3, 6, 3), (5, 3, 8, 8)),
        (nn.BatchNorm2d(6, momentum=None), nn.Conv2d(3, 6, 3), (5, 3, 8, 8)),
        (nn.BatchNorm2d(6, affine=False), nn.Conv2d(3, 6, 3), (5, 3, 8, 8)),
        (nn.BatchNorm2d(6, track_running_stats=False), nn.Conv2d(3, 6, 3), (5, 3, 8, 8)),
        (nn.BatchNorm1d(6), nn.Linear(4, 6), (7, 4)),
        (nn.BatchNorm1d(6), nn.Conv1d(2, 6, 2), (7, 2, 5)),
        (nn.BatchNorm3d(2), nn.Conv3d(1, 2, 2), (2, 1, 4, 4, 4)),
    ],
)
def test_it_computes_what_torch_computes(layer: nn.Module, first: nn.Module, shape: tuple[int, ...]) -> None:
    alone, synced = networks(layer, first)
    rng = torch.Generator().manual_seed(0)
    with synced_batch_norm(synced):
        for _ in range(3):
            x = 3 * torch.randn(shape, generator=rng) + 10
            losses = [loss(network, x) for network in (alone, synced)]
            torch.testing.assert_close(losses[1], losses[0], rtol=1e-4, atol=1e-3)
            for each in losses:
                each.backward()
    for expected, ours in zip(alone.parameters(), synced.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, expected.grad, rtol=1e-3, atol=2e-3)
    for name, value in alone.state_dict().items():
        torch.testing.assert_close(synced.state_dict()[name], value, rtol=1e-4, atol=1e-5, msg=name)


def test_gradients_are_those_of_finite_differences() -> None:
    network = nn.Sequential(nn.BatchNorm1d(3)).double()
    x = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1), requires_grad=True)
    with synced_batch_norm(network):
        assert torch.autograd.gradcheck(network, x)


def test_a_layer_is_what_it_was_when_the_context_ends_and_in_eval_mode() -> None:
    network = nn.Sequential(nn.BatchNorm2d(3))
    x = torch.rand(4, 3, 5, 5)
    before, names = network.eval()(x), set(vars(network[0]))
    with synced_batch_norm(network):
        assert torch.equal(network(x), before)
        halved = network.train()(x.to(torch.bfloat16))
        assert halved.dtype == torch.bfloat16
        torch.testing.assert_close(halved.float(), network(x), rtol=0.02, atol=0.02)
    assert set(vars(network[0])) == names
    assert network(x).grad_fn.name() == "NativeBatchNormBackward0"


def test_layers_with_an_own_forward_are_refused() -> None:
    class BatchNormAndMore(nn.BatchNorm2d):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x).relu()

    with (
        pytest.raises(UsageError, match=r"statistics of BatchNormAndMore layers cannot be taken .* leave out"),
        synced_batch_norm(nn.Sequential(BatchNormAndMore(3))),
    ):
        pass
