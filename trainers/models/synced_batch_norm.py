"""BatchNorm with the statistics of all processes, on CPUs and GPUs; torch has the like for GPUs only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.modules.batchnorm import _BatchNorm

from allweather.runtimes.errors import UsageError


@contextmanager
def synced_batch_norm(model: nn.Module) -> Iterator[None]:
    """Lets the BatchNorm layers of a model in train mode take their statistics from the images of all processes.

    The layers stay those that they are: only how they compute is replaced, until the context ends.

    Args:
        model: The model; each process must run it as often as the others.

    Raises:
        UsageError: A layer computes its BatchNorm in a way of its own, as some of timm do together with an activation.
    """
    layers = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    for layer in layers:
        if type(layer).forward is not _BatchNorm.forward:
            raise UsageError(
                f"the statistics of {type(layer).__name__} layers cannot be taken over all processes; leave out "
                "sync batchnorm, or choose a network with BatchNorm layers of torch"
            )
    try:
        for layer in layers:
            layer.forward = partial(_forward, layer)  # type: ignore[method-assign]
        yield
    finally:
        for layer in layers:
            layer.__dict__.pop("forward", None)


def _forward(layer: _BatchNorm, x: Tensor) -> Tensor:
    """Computes the BatchNorm of a layer: [n, C, ...] -> [n, C, ...]; see `torch.nn.BatchNorm2d`."""
    if not layer.training:
        return _BatchNorm.forward(layer, x)
    layer._check_input_dim(x)  # type: ignore[no-untyped-call]
    results = _SyncedBatchNorm.apply(x, layer.weight, layer.bias, layer.eps)  # type: ignore[no-untyped-call]
    output, mean, var, count = cast(tuple[Tensor, Tensor, Tensor, Tensor], results)
    if layer.running_mean is not None and layer.running_var is not None:
        assert layer.num_batches_tracked is not None
        layer.num_batches_tracked.add_(1)
        momentum = 1 / float(layer.num_batches_tracked) if layer.momentum is None else layer.momentum
        with torch.no_grad():
            layer.running_mean.lerp_(mean.to(layer.running_mean.dtype), momentum)
            layer.running_var.lerp_((var * (count / (count - 1))).to(layer.running_var.dtype), momentum)
    return output


class _SyncedBatchNorm(torch.autograd.Function):
    """The normalization, with one exchange among the processes forward and one backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> tuple[Tensor, ...]:
        """Returns the output, and mean [C], biased variance [C] and number of values [] over all processes."""
        values, dims = _precise(x), _all_but_channels(x)
        own_var, own_mean = torch.var_mean(values, dims, correction=0)
        own_count = own_mean.new_full((1,), values.numel() / len(own_mean))
        own = torch.cat([own_mean, own_var, own_count])
        gathered = [torch.empty_like(own) for _ in range(torch.distributed.get_world_size())]
        torch.distributed.all_gather(gathered, own)
        means, variances, counts = torch.split(torch.stack(gathered), [len(own_mean), len(own_mean), 1], 1)
        count = counts.sum()
        mean = (means * counts).sum(0) / count
        var = ((variances + (means - mean) ** 2) * counts).sum(0) / count
        scale = torch.rsqrt(var + eps)
        ctx.save_for_backward(x, weight, mean, scale, count)
        output = (values - _wide(mean, x)) * _wide(scale if weight is None else scale * _precise(weight), x)
        if bias is not None:
            output = output + _wide(_precise(bias), x)
        ctx.mark_non_differentiable(mean, var, count)
        return output.to(x.dtype), mean, var, count

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        """Returns the gradients: of the input for the losses of all processes, of the parameters for the own loss."""
        x, weight, mean, scale, count = ctx.saved_tensors
        dims, wide = _all_but_channels(x), _precise(gradient)
        normalized = (_precise(x) - _wide(mean, x)) * _wide(scale, x)
        for_bias, for_weight = wide.sum(dims), (wide * normalized).sum(dims)
        sums = torch.stack([for_bias, for_weight])
        torch.distributed.all_reduce(sums)
        sums = sums / count
        for_input = (wide - _wide(sums[0], x) - normalized * _wide(sums[1], x)) * _wide(
            scale if weight is None else scale * _precise(weight), x
        )
        if weight is None:
            return for_input.to(x.dtype), None, None, None
        return for_input.to(x.dtype), for_weight.to(weight.dtype), for_bias.to(weight.dtype), None


def _precise(values: Tensor) -> Tensor:
    return values.to(torch.promote_types(values.dtype, torch.float32))


def _all_but_channels(x: Tensor) -> list[int]:
    return [dim for dim in range(x.ndim) if dim != 1]


def _wide(values: Tensor, x: Tensor) -> Tensor:
    """Gives values [C] the dimensions of `x`, [1, C, 1, ...]."""
    return values.reshape(1, -1, *[1] * (x.ndim - 2))
