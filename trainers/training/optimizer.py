"""The optimizers, SGD and AdamW: their defaults, which parameters have weight decay, and their state by name."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from allweather.trainers.choices import OptimizerName
from allweather.trainers.training.schedules import WARMUPS
from allweather.trainers.training.settings import FitSettings

# SGD: as in the Wide ResNet paper; AdamW: as for ViT in DeiT and for ConvNeXt (arXiv:2012.12877, 2201.03545)
WEIGHT_DECAYS: Mapping[OptimizerName, float] = MappingProxyType({"sgd": 5e-4, "adamw": 0.05})

# Highest learning rate of AdamW for training from scratch at batch size 128: DeiT's is 5e-4 for batches of 512 over 300
# epochs, and shorter runs want more. A ViT of 4 layers and width 96 had after 10 epochs of 3000 signs 19.0 % with 3e-4,
# 29.8 % with 1e-3 and 32.7 % with 3e-3, a rate that is high for larger ones (one seed each; SGD: 33.6 % with 0.02 and
# 38.9 % with 0.1).
ADAMW_LR = 1e-3
# Share of it with which pretrained weights are trained on: AdamW's steps do not shrink with the gradients, so that the
# full rate would soon overwrite what the weights hold.
ADAMW_PRETRAINED_SHARE = 0.1
REFERENCE_BATCH_SIZE = 128  # at which learning rates are stated; they scale with the batch size

# Parameters without weight decay although they have several dimensions, by the end of their names in torchvision and
# in most networks of people's own; networks of timm name theirs by their method no_weight_decay().
UNDECAYED_NAMES = (
    "bias", "class_token", "cls_token", "pos_embed", "pos_embedding", "position_embedding", "layer_scale",
    "relative_position_bias_table",
)  # fmt: skip


def fill_defaults(settings: FitSettings, model: nn.Module) -> FitSettings:
    """Returns the settings with the optimizer, its weight decay and the warm-up filled in where they are None.

    The optimizer is SGD unless the network has layers of LayerNorm and none of BatchNorm, as ViT, Swin and ConvNeXt
    have: these are published with AdamW, and pretrained weights of theirs come from it.
    """
    optimizer = settings.optimizer or _usual_optimizer(model)
    return dataclasses.replace(
        settings,
        optimizer=optimizer,
        weight_decay=WEIGHT_DECAYS[optimizer] if settings.weight_decay is None else settings.weight_decay,
        warmup=WARMUPS[settings.schedule] if settings.warmup is None else settings.warmup,
    )


def highest_lr(settings: FitSettings, model: nn.Module, sgd_lr: float, factor: float = 1.0) -> float:
    """Returns the highest learning rate: that of the settings, or the optimizer's usual one for the batch size.

    Args:
        settings: Settings of the training loop.
        model: The network, which the optimizer is chosen for if the settings name none.
        sgd_lr: Learning rate of SGD for the architecture at a batch size of 128.
        factor: By which the usual learning rate is multiplied, such as for finetuning.
    """
    usual = sgd_lr if fill_defaults(settings, model).optimizer == "sgd" else ADAMW_LR
    return settings.lr or factor * usual * settings.batch_size / REFERENCE_BATCH_SIZE


def build_optimizer(model: nn.Module, settings: FitSettings) -> torch.optim.Optimizer:
    """Builds the optimizer, with a learning rate of 1 that the training loop replaces at each step.

    Args:
        model: The network.
        settings: Settings without a None; see `fill_defaults`.
    """
    assert settings.weight_decay is not None
    undecayed = {id(parameter) for parameter in _undecayed(model)}
    groups = [
        {
            "params": [parameter for parameter in model.parameters() if id(parameter) not in undecayed],
            "weight_decay": settings.weight_decay,
        },
        {"params": [parameter for parameter in model.parameters() if id(parameter) in undecayed], "weight_decay": 0.0},
    ]
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=1.0)
    return torch.optim.SGD(groups, lr=1.0, momentum=settings.momentum, nesterov=settings.nesterov)


def state_by_name(optimizer: torch.optim.Optimizer, model: nn.Module) -> dict[str, Tensor]:
    """Returns the optimizer's state as tensors named `<entry>.<parameter>`; frozen parameters have none."""
    return {
        f"{entry}.{name}": value
        for name, parameter in model.named_parameters()
        for entry, value in optimizer.state.get(parameter, {}).items()
        if isinstance(value, Tensor)
    }


def restore_state(optimizer: torch.optim.Optimizer, model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Restores what `state_by_name` returned."""
    parameters = dict(model.named_parameters())
    for key, value in tensors.items():
        entry, _, name = key.partition(".")
        parameter = parameters[name]
        # AdamW counts its steps on the CPU
        optimizer.state[parameter][entry] = value if entry == "step" else value.to(parameter.device)


def _usual_optimizer(model: nn.Module) -> OptimizerName:
    modules = list(model.modules())
    has_batch_norm = any(isinstance(module, _BatchNorm) for module in modules)
    return "adamw" if any(isinstance(module, nn.LayerNorm) for module in modules) and not has_batch_norm else "sgd"


def _undecayed(model: nn.Module) -> Iterator[nn.Parameter]:
    """Yields biases, the scales of norms, and embeddings of positions and tokens."""
    named = _named_by_networks(model)
    for name, parameter in model.named_parameters():
        if parameter.ndim < 2 or name in named or name.rpartition(".")[2] in UNDECAYED_NAMES:
            yield parameter


def _named_by_networks(model: nn.Module) -> set[str]:
    """Returns the parameters that networks name in a method no_weight_decay(), by their names in `model`."""
    names: set[str] = set()
    for prefix, module in model.named_modules():
        method = getattr(module, "no_weight_decay", None)
        if callable(method):
            names |= {f"{prefix}.{name}" if prefix else name for name in cast(set[str], method())}
    return names
