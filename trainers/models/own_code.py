"""A hash of the code of a network of the user's own, which weights alone do not tell apart."""

from __future__ import annotations

import hashlib
import inspect
import sys
from collections.abc import Iterator
from contextlib import suppress

from torch import nn

KNOWN_PACKAGES = ("allweather", "timm", "torch", "torchvision")  # their code changes with their version only


def code_digest(network: nn.Module) -> str:
    """Returns a short SHA-256 digest of the code that a network's own layers are written in; empty without such layers.

    Of a layer that is written in a module, that is the module, as what it calls may be defined there; of one in the
    program that runs or in a notebook, its class alone, as the rest of those may change from run to run.

    Args:
        network: The network, whose layers may be of any library.
    """
    classes = {type(layer) for layer in network.modules()}
    own = [each for each in classes if each.__module__.partition(".")[0] not in KNOWN_PACKAGES]
    digest = hashlib.sha256("\n".join(sorted(set(_sources(own)))).encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:16] if own else ""


def _sources(classes: list[type[nn.Module]]) -> Iterator[str]:
    for each in classes:
        module = sys.modules.get(each.__module__)
        # there is none of a class in a notebook or of a compiled module, and a file may have been edited to a wrong one
        with suppress(OSError, TypeError, SyntaxError, ValueError):
            yield inspect.getsource(each if module is None or each.__module__ == "__main__" else module)
