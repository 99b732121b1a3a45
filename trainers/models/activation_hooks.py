"""Taps: the output of every ReLU of any network, in the order of the calls; its feature, and its last feature map."""

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

RELUS = frozenset({functional.relu, functional.relu6, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_})


@contextmanager
def capture_activations() -> Iterator[list[Tensor]]:
    """While open, every ReLU's output in this thread is kept, whoever calls it: a module, a function or a method.

    ReLU6 counts as one. To see one pass, open it around one pass; what it holds keeps the graph of that pass alive.

    Yields:
        float [n, channels, h, w] or [n, features] each, growing with every call.
    """
    with _Collector() as collector:
        yield collector.found


@contextmanager
def capture_layer(model: nn.Module, layer: Literal["feature", "map"]) -> Iterator[list[Tensor]]:
    """While open, what a layer puts out at each pass is kept.

    Args:
        model: a classifier that ends in a linear layer.
        layer: "feature": what the last linear layer takes, float [n, features]; or "map": what the last ReLU
            on feature maps puts out, float [n, channels, h, w].

    Raises:
        UsageError: the network has no linear layer.
    """
    linear = last_linear(model)
    found: list[Tensor] = []

    def keep(module: nn.Module, taken: tuple[Tensor], given: Tensor) -> None:
        maps = [each for each in relus if each.dim() == 4]
        relus.clear()  # of this pass
        if layer == "map" and not maps:
            raise UsageError("the network has no ReLU on feature maps to tap; compare logits instead")
        found.append(maps[-1] if layer == "map" else taken[0])

    with ExitStack() as stack:
        relus: list[Tensor] = stack.enter_context(capture_activations()) if layer == "map" else []
        stack.callback(linear.register_forward_hook(keep).remove)
        yield found


def last_linear(model: nn.Module) -> nn.Linear:
    """The last linear layer of a network, whose input is the network's feature.

    Raises:
        UsageError: the network has no linear layer.
    """
    linear = next((module for module in reversed(list(model.modules())) if isinstance(module, nn.Linear)), None)
    if linear is None:
        raise UsageError("the network has no linear layer and so no feature; compare logits, or end it in one")
    return linear


class _Collector(TorchFunctionMode):
    """Sees each call of a torch function; those made inside of a function that it sees are not seen again."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[Tensor] = []

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        if func in RELUS or (func is functional.hardtanh and _floor(args, kwargs) == 0):
            self.found.append(out)
        return out


def _floor(args: tuple[Any, ...], kwargs: Mapping[str, Any] | None) -> float:
    """The lower bound that `hardtanh` was called with; nn.ReLU6 calls it with 0."""
    found: float = args[1] if len(args) > 1 else (kwargs or {}).get("min_val", -1.0)
    return found
