"""Folds each BatchNorm into the convolution before it, so that the exporter has fewer operations to translate."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

TOLERANCE = 1e-4  # of the largest output; rounding alone differs


@torch.no_grad()
def fold_batch_norms(model: nn.Module, example: Tensor) -> nn.Module:
    """Returns a copy of a network without the BatchNorms that follow a convolution, or the network as it is.

    The exporter folds them, too, but translates each of their operations first: without them the same graph of a
    ResNet-20 or MobileNetV2 takes a fifth to two fifths less time. The copy keeps the code of the network: a trace only
    tells what follows what. A network that cannot be traced, or that computes something else without them, stays as it
    is.

    Args:
        model: A network in eval mode.
        example: An input of it, on which both are compared.
    """
    try:
        folded = _folded(model)
        # of copies, because a network may keep what it has seen
        expected, got = copy.deepcopy(model)(example), copy.deepcopy(folded)(example)
        close = bool((got - expected).abs().max() <= TOLERANCE * expected.abs().max())
    except Exception:  # noqa: BLE001 -- tracing runs the network's own code, which may raise anything
        return model
    return folded if close else model


def _folded(model: nn.Module) -> nn.Module:
    """Returns a copy of a network whose BatchNorms are folded where they alone follow a convolution."""
    folded = copy.deepcopy(model)
    modules = dict(folded.named_modules())
    for convolution, norm in _pairs(fx.symbolic_trace(copy.deepcopy(model)), modules):
        fused = fuse_conv_bn_eval(modules[convolution], modules[norm])
        for name, module in ((convolution, fused), (norm, nn.Identity())):
            parent, _, child = name.rpartition(".")
            setattr(folded.get_submodule(parent), child, module)
    return folded


def _pairs(traced: fx.GraphModule, modules: dict[str, nn.Module]) -> Iterator[tuple[str, str]]:
    """Yields the names of each convolution and BatchNorm that are called once, the one on the output of the other."""
    calls = [node.target for node in traced.graph.nodes if node.op == "call_module"]
    for node in traced.graph.nodes:
        before = node.args[0] if node.args else None
        if not isinstance(before, fx.Node):
            continue
        if not (_is_call(node, modules, nn.BatchNorm2d) and _is_call(before, modules, nn.Conv2d)):
            continue
        if len(before.users) == calls.count(before.target) == calls.count(node.target) == 1:
            yield str(before.target), str(node.target)


def _is_call(node: fx.Node, modules: dict[str, nn.Module], kind: type[nn.Module]) -> bool:
    """Returns whether a node of the graph is the call of a module of exactly a kind, with nothing hooked to it."""
    if node.op != "call_module":
        return False
    module = modules[str(node.target)]
    return type(module) is kind and not (module._forward_hooks or module._forward_pre_hooks)
