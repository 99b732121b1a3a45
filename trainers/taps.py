"""Taps: the output of every ReLU of any network, in the order of the calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

RELUS = frozenset({functional.relu, functional.relu6, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_})


@contextmanager
def tapped() -> Iterator[list[Tensor]]:
    """While open, every ReLU's output in this thread is kept, whoever calls it: a module, a function or a method.

    ReLU6 counts as one. To see one pass, open it around one pass; what it holds keeps the graph of that pass alive.

    Yields:
        float [n, channels, h, w] or [n, features] each, growing with every call.
    """
    with _Collector() as collector:
        yield collector.found


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
