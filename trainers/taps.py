"""Taps: the output of every ReLU of any network, by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn


@contextmanager
def tapped(model: nn.Module) -> Iterator[dict[str, Tensor]]:
    """While open, each forward pass of `model` fills the dictionary with its ReLU outputs.

    The name is the module's; a ReLU that a network calls several times (torchvision's blocks do) appears as
    `name`, `name:1`, `name:2`, in the order of the calls. A ReLU called as a function, not a module, cannot be seen.

    Args:
        model: any network with `nn.ReLU` modules.

    Yields:
        float [n, channels, h, w] or [n, features] by name, in the order of the calls; emptied when a pass begins.
    """
    found: dict[str, Tensor] = {}
    calls: Counter[str] = Counter()

    def clear(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        found.clear()
        calls.clear()

    def keep(name: str) -> object:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            found[f"{name}:{calls[name]}" if calls[name] else name] = output
            calls[name] += 1

        return hook

    hooks = [model.register_forward_pre_hook(clear)]
    for name, module in model.named_modules():
        if isinstance(module, nn.ReLU):
            hooks.append(module.register_forward_hook(keep(name)))  # type: ignore[arg-type]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()
