"""Losses that compare a network's outputs for two views of each image, such as a clean and an augmented one.

Every loss is a mean over the pairs of views.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from allweather.runtimes.errors import UsageError, check_choice
from allweather.trainers.choices import Metric as Metric
from allweather.trainers.image_tensors import check_floats, check_several_classes

DEAD_MEAN = 1e-6  # a feature map whose mean magnitude is smaller counts as dead


def kl_divergence(target: Tensor, prediction: Tensor) -> Tensor:
    """Returns the Kullback-Leibler divergence KL(target || prediction) of softmax outputs, in nats, a scalar.

    Args:
        target: Logits, float [n, C]. Gradients reach them; detach them if they should not.
        prediction: Logits, float [n, C].

    Raises:
        UsageError: They are not logits of the same shape.
    """
    _check_pair(target, prediction)
    _check_logits(target)
    log_target = functional.log_softmax(_at_least_float32(target), 1)
    log_prediction = functional.log_softmax(_at_least_float32(prediction), 1)
    return functional.kl_div(log_prediction, log_target, reduction="batchmean", log_target=True)


def stability_loss(clean: Tensor, augmented: Tensor) -> Tensor:
    """Returns the loss of stability training (ST, Zheng et al. 2016, arXiv:1604.04326, eq. 6), in nats, a scalar.

        L = 1/n sum_i sum_j P(j | x_i) (log P(j | x_i) - log P(j | x~_i))

    with P the softmax of the logits, x_i a clean image and x~_i its augmented copy: KL(clean || augmented). The paper's
    cross-entropy differs from it by the entropy of the clean outputs. Gradients reach both arguments.

    Args:
        clean: Logits for the clean images, float [n, C].
        augmented: Logits for the augmented copies, float [n, C].

    Raises:
        UsageError: They are not logits of the same shape.
    """
    return kl_divergence(clean, augmented)


def ai_loss(first: Tensor, second: Tensor, metric: Metric = "kl") -> Tensor:
    """Returns the AiLoss of augmentation-invariant training (Chen et al., ICCVW 2019, eq. 1 and 2), a scalar.

        L = 1/n sum_i KL(P(x'_i) || P(x"_i)) + KL(P(x"_i) || P(x'_i))

    with P the softmax of the outputs, and x'_i and x"_i two variants of an image. It is symmetric in its arguments.
    As in the program of its authors, no gradient flows into the target P of a divergence KL(P || Q): each of the two
    predictions follows the other, which is held fixed. With gradients into both, the predictions soonest agree on no
    class at all (docs/results/invariant-training.md). The paper trains with "kl" on logits; the other metrics, and
    features instead of logits, are the alternatives of section 4.2.1.

    Args:
        first: Outputs for one variant of each image: logits, or the output of another layer; float [n, ...].
        second: Outputs for another variant of the same images, of the same shape.
        metric: "kl": symmetric Kullback-Leibler divergence of the softmax over all entries, in nats. "euclidean":
            Euclidean distance. "both": The sum of the two.

    Raises:
        UsageError: The outputs differ in shape, or there is no such metric.
    """
    _check_pair(first, second)
    check_choice("metric", metric, Metric)
    first, second = _at_least_float32(first).flatten(1), _at_least_float32(second).flatten(1)
    terms = []
    if metric != "euclidean":
        terms.append(kl_divergence(first.detach(), second) + kl_divergence(second.detach(), first))
    if metric != "kl":
        terms.append(torch.linalg.vector_norm(first - second, dim=1).mean())
    return torch.stack(terms).sum()


def jensen_shannon_divergence(outputs: Sequence[Tensor]) -> Tensor:
    """Returns the Jensen-Shannon divergence of the softmax outputs for views of the same images, in nats, a scalar.

        JS = 1/k sum_j KL(P_j || M), with M the mean of the k distributions P_j

    It is 0 if they agree, and at most log(k). Gradients reach all outputs (AugMix, Hendrycks et al. 2020,
    arXiv:1912.02781, eq. 2).

    Args:
        outputs: Logits for each of k views, two or more, float [n, C] each.

    Raises:
        UsageError: There are fewer than two, or they are not logits of the same shape.
    """
    if isinstance(outputs, Tensor) or len(outputs) < 2:
        came = "one tensor" if isinstance(outputs, Tensor) else str(len(outputs))
        raise UsageError(f"the divergence compares a list of the logits for two or more views; got {came}")
    for each in outputs:
        _check_pair(outputs[0], each)
    _check_logits(outputs[0])
    logs = torch.stack([functional.log_softmax(_at_least_float32(each), -1) for each in outputs])
    mean = torch.logsumexp(logs, 0) - math.log(len(outputs))
    return (logs.exp() * (logs - mean)).sum(-1).mean()


def feature_map_loss(maps: Sequence[Tensor]) -> Tensor:
    """Returns the FMA loss (Kapoor et al., eq. 6), a scalar: how far feature maps move relative to their mean.

        L = 1/m sum_l 1/n sum_i |(f_l(x_i) - f_l(x~_i)) / mean(f_l(x_i))|^2 / N_l

    over the m layers, with f_l(x_i) the N_l entries of layer l for a clean image x_i, and x~_i its augmented copy. The
    paper's networks have ReLUs, whose maps are never negative; the maps of SiLU, GELU and other functions with negative
    values are compared with the mean of their magnitudes, which for a ReLU is the same. A dead map, whose mean is below
    1e-6, has no scale to compare with and counts as 0.

    Args:
        maps: Output of each activation function, float [2 n, ...]: first those of n clean images, then those of their
            augmented copies. See `run_pair` and `capture_activations`.

    Raises:
        UsageError: There are no maps, or not as many of clean images as of copies.
    """
    if isinstance(maps, Tensor):
        raise UsageError(f"the feature-map loss takes a list of maps; got one tensor {list(maps.shape)}: write [maps]")
    if not isinstance(maps, Iterable | None):
        raise UsageError(f"the feature-map loss takes a list of maps; got {type(maps).__name__}")
    maps = list(() if maps is None else maps)
    if not maps:
        raise UsageError(
            "the feature-map loss needs the output of at least one activation function, and got none; name layers to "
            "compare (--layers), or use method st"
        )
    for each in maps:
        check_floats("the maps to compare", each)
        if not each.numel() or not each.dim() or len(each) % 2:
            raise UsageError(
                f"a map holds the outputs for n clean images, then those for their n copies: [2 n, ...]; got "
                f"{list(each.shape)}"
            )
    terms: list[Tensor] = [_RelativeDistance.apply(each) for each in maps]  # type: ignore[no-untyped-call]
    return torch.stack(terms).mean()


def _check_logits(logits: Tensor) -> None:
    if logits.dim() != 2:
        raise UsageError(f"logits are [n, C], with a row for each image; got {list(logits.shape)}")
    check_several_classes(logits)


def _check_pair(first: Tensor, second: Tensor) -> None:
    """Checks that two outputs can be compared; torch would stretch a batch of one to the size of the other."""
    for each in (first, second):
        check_floats("the outputs to compare", each)
    if first.shape != second.shape or first.dim() < 2 or 0 in first.shape:
        raise UsageError(
            f"the outputs to compare have one shape, [n, ...]; got {list(first.shape)} and {list(second.shape)}"
        )


def _at_least_float32(values: Tensor) -> Tensor:
    """Returns half precision as float32; other types stay as they are."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


class _RelativeDistance(torch.autograd.Function):
    """One layer's term of eq. 6: |f(x) - f(x~)|^2 / (entries * mean(|f(x)|)^2), averaged over the images.

    Memory bandwidth, not arithmetic, limits its speed. It therefore saves nothing for the backward pass but the maps,
    which the network saves anyway, writes the gradients of both halves once, and on a CPU spares the maps of a ReLU,
    which are never negative, the passes that look for signs.
    """

    @staticmethod
    def forward(ctx: Any, maps: Tensor) -> Tensor:
        clean, augmented = _flatten_images(maps).chunk(2)
        dtype = torch.promote_types(maps.dtype, torch.float32)
        # sums of bf16 are added up in float32 and rounded once, which is several times as quick as a float32 result
        summed = maps.dtype if maps.dtype == torch.bfloat16 else dtype
        positive = maps.device.type == "cpu" and bool(clean.min() >= 0)  # a GPU would have to wait
        mean = clean.sum(1, dtype=summed) if positive else torch.linalg.vector_norm(clean, 1, dim=1, dtype=summed)
        mean = mean.to(dtype) / clean.shape[1]
        distance = torch.linalg.vector_norm(clean - augmented, dim=1, dtype=summed).to(dtype).square_() / clean.shape[1]
        scale = torch.where(mean > DEAD_MEAN, 1 / mean.clamp(min=DEAD_MEAN), 0.0)
        ctx.save_for_backward(maps, distance, scale)
        ctx.positive = positive
        loss: Tensor = (distance * scale**2).mean()
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        maps, distance, scale = ctx.saved_tensors
        dtype = maps.dtype
        if dtype == torch.float16:  # the factors below may be larger than any float16, where their products are not
            maps = maps.float()
        if not maps.is_contiguous(memory_format=torch.channels_last):
            maps = maps.contiguous()  # flattening may copy other layouts, and what is written into a copy is lost
        clean, augmented = _flatten_images(maps).chunk(2)
        share = 2 * gradient / clean.numel()  # the factor that the derivatives of both terms below have in common
        out = torch.empty_like(maps)
        to_clean, to_augmented = _flatten_images(out).chunk(2)
        torch.sub(augmented, clean, out=to_augmented)
        to_augmented *= (share * scale**2)[:, None].to(maps.dtype)
        through_mean = -(share * distance * scale**3)[:, None].to(maps.dtype)
        if ctx.positive:  # |f| is f; where it is 0, any slope from -1 to 1 is one of |f|
            torch.sub(through_mean, to_augmented, out=to_clean)
        else:
            torch.neg(to_augmented, out=to_clean)
            to_clean.addcmul_(clean.sign(), through_mean)
        return out.to(dtype)


def _flatten_images(maps: Tensor) -> Tensor:
    """Returns the entries of each image as a row, [n, entries], in their memory order so that nothing is copied."""
    if maps.dim() == 4 and maps.is_contiguous(memory_format=torch.channels_last):
        maps = maps.permute(0, 2, 3, 1)
    return maps.reshape(len(maps), -1)
