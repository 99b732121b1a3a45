"""BatchNorms are folded where that changes nothing, and only there."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from allweather.exporters.onnx.fold import fold_batch_norms
from allweather.runtimes.preprocess import InputSpec
from allweather.trainers.models.registry import build_model

EXAMPLE = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def count(model: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in model.modules())


def with_statistics(model: nn.Module) -> nn.Module:
    """The network in eval mode, with BatchNorms that are no identity."""
    torch.manual_seed(2)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, 0, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.uniform_(module.weight, -1, 2)
    return model.eval()


class Branch(nn.Module):
    """A convolution whose output is used twice, so that its BatchNorm cannot be folded."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(x)
        return out + self.norm(out)


class Untraceable(Branch):
    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.norm(self.conv(x))
        return out if float(out.sum()) > 1e9 else -out


class Counts(Branch):
    """It adds to each output how often it was run."""

    calls = 0

    def forward(self, x: Tensor) -> Tensor:
        type(self).calls += 1
        out: Tensor = self.norm(self.conv(x))
        return out + type(self).calls


class Pair(nn.Module):
    """Two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.norm(self.conv(x)), x


class Doubles(Branch):
    """It computes something else where a trace does not see it."""

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.norm(self.conv(x))
        return 2 * out if isinstance(x, Tensor) and float(x.max()) > 1 else out


@pytest.mark.parametrize("arch", ["resnet8", pytest.param("mobilenetv2", marks=pytest.mark.slow)])
def test_the_outputs_stay(arch: str) -> None:
    model = with_statistics(build_model(arch, 5, InputSpec(16, 16)))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    folded = fold_batch_norms(model, EXAMPLE)
    assert count(model) > 0
    assert count(folded) == 0
    with torch.no_grad():
        assert torch.allclose(folded(EXAMPLE), model(EXAMPLE), rtol=1e-4, atol=1e-4)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("network", [Untraceable, Counts, Pair])
def test_a_network_that_cannot_be_traced_stays_as_it_is(network: type[nn.Module]) -> None:
    model = with_statistics(network())
    assert fold_batch_norms(model, EXAMPLE) is model


def test_a_norm_of_what_is_used_elsewhere_stays() -> None:
    model = with_statistics(Branch())
    folded = fold_batch_norms(model, EXAMPLE)
    assert count(folded) == 1
    with torch.no_grad():
        assert torch.allclose(folded(EXAMPLE), model(EXAMPLE), atol=1e-5)


def test_a_branch_that_a_trace_does_not_see_stays() -> None:
    model = with_statistics(Doubles())
    folded = fold_batch_norms(model, EXAMPLE)
    assert count(folded) == 0
    with torch.no_grad():
        for images in (EXAMPLE, 3 * EXAMPLE):
            assert torch.allclose(folded(images), model(images), atol=1e-4)


@pytest.mark.parametrize("name", ["conv", "norm"])
def test_what_is_hooked_to_a_layer_stays(name: str) -> None:
    class Plain(Branch):
        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.norm(self.conv(x))
            return out

    model = with_statistics(Plain())
    with torch.no_grad():
        most = 2 * float(torch.maximum(model.get_submodule("conv")(EXAMPLE).abs().max(), model(EXAMPLE).abs().max()))
    model.get_submodule(name).register_forward_hook(lambda module, images, out: out.clamp(-most, most))
    folded, bright = fold_batch_norms(model, EXAMPLE), 100 * EXAMPLE
    with torch.no_grad():
        assert torch.allclose(folded(bright), model(bright), rtol=1e-3, atol=1e-3)


def test_a_hook_of_the_whole_network_stays() -> None:
    model = with_statistics(build_model("resnet8", 5, InputSpec(16, 16)))
    model.register_forward_pre_hook(lambda module, images: (images[0].clamp(-50, 50),))
    folded, bright = fold_batch_norms(model, EXAMPLE), 100 * EXAMPLE
    assert count(folded) == 0
    with torch.no_grad():
        assert torch.allclose(folded(bright), model(bright), rtol=1e-3, atol=1e-3)
