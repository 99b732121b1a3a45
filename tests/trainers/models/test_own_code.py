"""A network whose code was edited is another one, though its layers and weights are the same."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from allweather.create.digests import network_digest
from allweather.runtimes.preprocess import InputSpec
from allweather.trainers.checkpoint.checkpoint import Checkpoint
from allweather.trainers.inference.open_model import open_model
from allweather.trainers.models.own_code import code_digest
from allweather.trainers.models.registry import get_architecture

SOURCE = """
from torch import nn, relu, tanh
def act(x):
    return {}(x)
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 3)
    def forward(self, x):
        return act(self.layer(x.mean((2, 3))))
"""
SPEC = InputSpec(8, 8)


def _network(folder: Path, act: str, monkeypatch: pytest.MonkeyPatch) -> nn.Module:
    file = folder / f"net_{act}" / "edited_network.py"
    file.parent.mkdir(exist_ok=True)
    file.write_text(SOURCE.format(act))
    spec = importlib.util.spec_from_file_location("edited_network", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "edited_network", module)
    spec.loader.exec_module(module)
    torch.manual_seed(0)
    network: nn.Module = module.Net()
    return network


def test_a_function_that_the_layers_call_belongs_to_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages, opened = [], []
    for act in ("relu", "tanh", "relu"):
        checkpoint = Checkpoint.of(_network(tmp_path, act, monkeypatch), ("a", "b", "c"), SPEC)
        stages.append(network_digest(checkpoint))
        with open_model(checkpoint) as model:
            opened.append(model.fingerprint)
    for digests in (stages, opened):
        assert digests[0] == digests[2] != digests[1]


def test_networks_of_libraries_have_no_code_of_the_user() -> None:
    build = get_architecture("resnet20").build
    assert code_digest(build(3, SPEC)) == ""
    assert code_digest(nn.Sequential(nn.Flatten(), nn.Linear(3, 3))) == ""


def test_a_class_without_source_is_taken_as_it_is() -> None:
    made = type("Net", (nn.Module,), {"__module__": "nowhere"})
    assert len(code_digest(made())) == 16


def test_a_class_that_a_layer_inherits_from_belongs_to_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digests, parametrized = [], []
    for act in ("relu", "tanh", "relu"):
        base = type(_network(tmp_path, act, monkeypatch))
        made = type("Sub", (base,), {"__module__": "nowhere"})
        digests.append(code_digest(made()))
        layer = type("Layer", (base, nn.Linear), {"__module__": "nowhere", "__init__": nn.Linear.__init__})(3, 3)
        parametrized.append(code_digest(nn.utils.parametrizations.orthogonal(layer)))
    for each in (digests, parametrized):
        assert each[0] == each[2] != each[1]


class _Function(nn.Module):
    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(x)


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
def test_code_that_torch_wrote_belongs_to_the_network() -> None:
    traced = [torch.fx.symbolic_trace(_Function(act)) for act in (torch.relu, torch.tanh)]
    assert len({code_digest(each) for each in traced}) == 2
    scripted = [torch.jit.trace(_Function(act), torch.rand(2, 3)) for act in (torch.relu, torch.tanh)]
    assert len({code_digest(each) for each in scripted}) == 2
