"""Captures activations: the output of every ReLU, the last feature maps, and the input of the last linear layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from allweather.runtimes.errors import UsageError
from allweather.trainers.choices import Layer as Layer

RELU_FUNCTIONS = frozenset({functional.relu, functional.relu6, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_})


@contextmanager
def capture_activations() -> Iterator[list[Tensor]]:
    """Captures the output of every ReLU in this thread, whether it is called as a module, a function or a method.

    ReLU6 counts as a ReLU. Open the context around a single forward pass to capture that pass. The captured tensors
    keep its autograd graph alive.

    Yields:
        A list that grows with every call, in call order: float [n, channels, h, w] or [n, features].
    """
    with _Collector() as collector:
        yield collector.outputs


@contextmanager
def capture_layer(model: nn.Module, layer: Literal["feature", "map"]) -> Iterator[list[Tensor]]:
    """Captures the output of one layer at each forward pass.

    Args:
        model: A classifier that ends in a linear layer.
        layer: "feature": the input of the last linear layer, float [n, features]. "map": the output of the last ReLU
            that acts on feature maps, float [n, channels, h, w].

    Yields:
        A list that grows by one tensor with every forward pass.

    Raises:
        UsageError: The network has no linear layer, or "map" is asked for and no ReLU acts on feature maps.
    """
    linear = last_linear(model)
    captured: list[Tensor] = []

    def capture(module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        maps = [each for each in activations if each.dim() == 4]
        activations.clear()  # they belong to this pass
        if layer == "map" and not maps:
            raise UsageError("the network has no ReLU on feature maps; compare logits instead")
        captured.append(maps[-1] if layer == "map" else inputs[0])

    with ExitStack() as stack:
        activations: list[Tensor] = stack.enter_context(capture_activations()) if layer == "map" else []
        stack.callback(linear.register_forward_hook(capture).remove)
        yield captured


def last_linear(model: nn.Module) -> nn.Linear:
    """Returns the last linear layer of a network; its input is the network's feature.

    Raises:
        UsageError: The network has no linear layer.
    """
    linear = next((module for module in reversed(list(model.modules())) if isinstance(module, nn.Linear)), None)
    if linear is None:
        raise UsageError(
            "the network has no linear layer, so it has no feature; compare logits, or add a linear layer at the end"
        )
    return linear


class _Collector(TorchFunctionMode):
    """Collects the outputs of ReLUs. It sees every call of a torch function, but no calls inside that function."""

    def __init__(self) -> None:
        super().__init__()
        self.outputs: list[Tensor] = []

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        if func in RELU_FUNCTIONS or (func is functional.hardtanh and _lower_bound(args, kwargs) == 0):
            self.outputs.append(out)
        return out


def _lower_bound(args: tuple[Any, ...], kwargs: Mapping[str, Any] | None) -> float:
    """Returns the lower bound of a call of `hardtanh`; nn.ReLU6 calls it with 0."""
    bound: float = args[1] if len(args) > 1 else (kwargs or {}).get("min_val", -1.0)
    return bound
