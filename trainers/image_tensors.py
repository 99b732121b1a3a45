"""Images and logits in torch tensors, as a researcher holds them: what they may look like, and how to get pixels."""

from __future__ import annotations

import torch
from torch import Tensor

from allweather.runtimes.errors import DataError, UsageError

LAYOUTS = "[3, h, w] or [n, 3, h, w]"
TOLERANCE = 1e-3  # beyond 0..1, for values that were resized or averaged; what is beyond it is no pixel


def check_image_tensor(images: Tensor) -> None:
    """Checks that a tensor holds RGB images in torchvision's form.

    Args:
        images: uint8, or float in 0..1: [3, h, w] or [n, 3, h, w].

    Raises:
        DataError: It does not; the message says what came and how to convert it.
    """
    if not isinstance(images, Tensor):
        raise DataError(f"images are a torch tensor {LAYOUTS}; got {type(images).__name__}")
    if not is_dense(images):
        raise DataError("images are a dense tensor with values; got a nested, sparse, quantized or meta tensor")
    kind = str(images.dtype).removeprefix("torch.")
    if images.dtype != torch.uint8 and not images.is_floating_point():
        raise DataError(f"the values of images are uint8, or float in 0..1; got {kind}: scale them to 0..255")
    if images.dim() not in (3, 4) or images.shape[-3] != 3 or 0 in images.shape:
        raise DataError(f"images are RGB, {LAYOUTS}; got {list(images.shape)}: {_shape_advice(images)}")
    if images.dtype != torch.uint8:
        low, high = (float(value) for value in images.detach().aminmax())
        if not (low >= -TOLERANCE and high <= 1 + TOLERANCE):  # also if one of them is nan
            cure = "divide by 255" if low >= 0 and high > 2 else "undo the normalization, and normalize in the network"
            raise DataError(f"float images are in 0..1; got values from {low:.3g} to {high:.3g}: {cure}")


def check_floats(what: str, values: object) -> None:
    """Checks that an argument is a dense tensor of floating-point numbers, of 16 bits or more, to compute with.

    Args:
        what: What such tensors are, in the plural, for the message.
        values: The argument.

    Raises:
        UsageError: It is something else; the message says what came.
    """
    if not isinstance(values, Tensor) or not values.is_floating_point() or values.dtype.itemsize < 2:
        came = str(values.dtype).removeprefix("torch.") if isinstance(values, Tensor) else type(values).__name__
        raise UsageError(f"{what} are tensors of floating-point numbers; got {came}")
    if not is_dense(values):
        raise UsageError(f"{what} are dense tensors with values; got a nested, sparse, quantized or meta tensor")


def is_dense(values: Tensor) -> bool:
    """Returns whether a tensor has a value for each entry: it is not nested, sparse, quantized or on no device."""
    return not (values.is_nested or values.layout != torch.strided or values.is_quantized or values.is_meta)


def check_several_classes(logits: Tensor) -> None:
    """Checks that logits, [n, C], are those of at least two classes: the softmax of a single one is always 1.

    Raises:
        UsageError: There is one for each image.
    """
    if logits.shape[1] < 2:
        raise UsageError(
            f"logits are [n, C], of two or more classes; got {list(logits.shape)}: for the logit z of the second of "
            "two classes, give torch.cat([torch.zeros_like(z), z], 1)"
        )


def to_pixels(images: Tensor) -> Tensor:
    """Returns the images, checked by `check_image_tensor`, as uint8 of the same layout; floats are rounded."""
    if images.dtype == torch.uint8:
        return images
    return images.detach().float().mul(255).round().clamp(0, 255).to(torch.uint8)


def _shape_advice(images: Tensor) -> str:
    if 0 in images.shape:
        return "it is empty"
    if images.dim() in (3, 4) and images.shape[-1] == 3:
        order = "2, 0, 1" if images.dim() == 3 else "0, 3, 1, 2"
        return f"channels come before the rows: .permute({order})"
    if images.dim() in (3, 4) and images.shape[-3] == 1:
        return "repeat the gray channel: .expand(" + ("-1, " if images.dim() == 4 else "") + "3, -1, -1)"
    if images.dim() in (3, 4) and images.shape[-3] == 4:
        return "drop the alpha channel: [..., :3, :, :]"
    return "stack images of one size with torch.stack"
