"""Networks that torch compiles before they train."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn

Network = TypeVar("Network", bound=nn.Module)
COMPILE_SECONDS = 60.0  # about what a network takes; not tried in less than a few times as long


def compiles_on(device: torch.device) -> bool:
    """Returns whether networks are compiled at all: on GPUs, where a small network's steps are mostly launches."""
    return device.type == "cuda"


def compile_in_place(model: Network) -> Network:
    """Makes torch compile a network at its first step; its weights and their names stay, and so do copies of it.

    What was compiled before is forgotten: torch compiles a module's call eight times at most, and would run the ninth
    network as it is.
    """
    torch.compiler.reset()
    model.compile()
    return model
