"""A hash of the code of a network of the user's own, which weights alone do not tell apart."""

from __future__ import annotations

import hashlib
import inspect
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress

import torch
from torch import fx, nn

# their code changes with their version, or that of Python, only
KNOWN_PACKAGES = ("abc", "allweather", "builtins", "collections", "timm", "torch", "torchvision", "typing")


def code_digest(network: nn.Module) -> str:
    """Returns a short SHA-256 digest of the code that a network's own layers are written in; empty without such layers.

    Of a layer that is written in a module, that is the module, as what it calls may be defined there; of one in the
    program that runs or in a notebook, its class alone, as the rest of those may change from run to run. Classes that
    it inherits from belong to it, and so does code that `torch.fx` or `torch.jit` wrote.

    Args:
        network: The network, whose layers may be of any library.
    """
    layers = list(network.modules())
    classes = {each for layer in layers for each in type(layer).__mro__}
    own = [each for each in classes if str(each.__module__).partition(".")[0] not in KNOWN_PACKAGES]
    written = [layer for layer in layers if isinstance(layer, (fx.GraphModule, torch.jit.ScriptModule))]
    sources = sorted({*_sources(own), *_generated(written)})
    digest = hashlib.sha256("\n".join(sources).encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:16] if own or written else ""


def _sources(classes: list[type]) -> Iterator[str]:
    for each in classes:
        module = sys.modules.get(each.__module__)
        # there is none of a class in a notebook or of a compiled module, and a file may have been edited to a wrong one
        with suppress(OSError, TypeError, SyntaxError, ValueError):
            yield inspect.getsource(each if module is None or each.__module__ == "__main__" else module)


def _generated(layers: Sequence[nn.Module]) -> Iterator[str]:
    """Yields the code of layers that `torch.fx` or `torch.jit` wrote."""
    for layer in layers:
        with suppress(AttributeError, RuntimeError):  # a scripted container has no code of its own
            yield str(layer.code)
