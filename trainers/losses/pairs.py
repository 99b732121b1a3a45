"""Clean images and their augmented copies in one forward pass, for a training loop of the user's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from allweather.runtimes.errors import DataError, UsageError
from allweather.runtimes.setting_types import check_instance
from allweather.trainers.models.activation_hooks import capture_activations


@dataclass(frozen=True)
class PairOutputs:
    """What a network gives for n clean images and for their augmented copies.

    Attributes:
        clean: Outputs for the clean images, such as logits, float [n, C].
        augmented: Outputs for the augmented copies, of the same shape.
        maps: Output of each activation function, or of each named layer, for `feature_map_loss`: float [2 n, ...],
            first those of the clean images.
    """

    clean: Tensor
    augmented: Tensor
    maps: tuple[Tensor, ...]


def run_pair(model: nn.Module, clean: Tensor, augmented: Tensor, *, layers: Sequence[str] = ()) -> PairOutputs:
    """Runs clean images and their augmented copies through a network as one batch, and captures its activations.

        outputs = run_pair(model, clean, augmented)
        loss = cross_entropy(outputs.clean, labels) + feature_map_loss(outputs.maps)

    BatchNorm normalizes by the statistics of both halves, with which networks learned more than with those of each
    half (docs/results/robust-finetuning.md).

    Args:
        model: Any network that gives a tensor, float [n, ...] -> float [n, C], in the mode that the caller has set.
        clean: Images as the network takes them, float [n, ...].
        augmented: Copies of the same images, in the same order and of the same shape.
        layers: Names of the layers whose outputs are captured instead of those of all activation functions; see
            `capture_activations`.

    Raises:
        UsageError: There is no layer of such a name, none of the layers is run, or the network gives no tensor with a
            row for each image.
        DataError: The two batches differ in shape or type, have no images, or are of integers, and the network fails
            with these.
    """
    check_instance("model", model, nn.Module, "it is the network itself")
    for name, images in (("clean", clean), ("augmented", augmented)):
        check_instance(name, images, Tensor, "torch.as_tensor(...) makes one")
    if clean.shape != augmented.shape or clean.dtype != augmented.dtype or clean.device != augmented.device:
        raise DataError(
            f"the augmented copies have the shape and type of the clean images; got {_describe(clean)} and "
            f"{_describe(augmented)}"
        )
    if not clean.dim() or not len(clean):
        raise DataError(f"pairs are batches of at least one image, [n, ...]; got {_describe(clean)}")
    with capture_activations(model, layers) as maps:
        try:
            outputs = model(torch.cat([clean, augmented]))
        except RuntimeError as error:
            if clean.dim() == 4 and clean.shape[3] == 3 != clean.shape[1]:
                raise DataError(
                    f"the network takes no images like these, {_describe(clean)}: channels come before the rows: "
                    ".permute(0, 3, 1, 2)"
                ) from error
            if clean.is_floating_point():
                raise
            raise DataError(
                f"the network takes no images of {str(clean.dtype).removeprefix('torch.')}; give float ones in the "
                "range that it was trained with, such as images / 255, and copies made of them"
            ) from error
    if layers and not maps:
        raise UsageError(
            f"none of the layers {', '.join(layers)} was run; name others, or give the network as it was before "
            "torch.compile, which runs no layers by themselves"
        )
    if not isinstance(outputs, Tensor) or not outputs.dim() or len(outputs) != 2 * len(clean):
        came = _describe(outputs) if isinstance(outputs, Tensor) else type(outputs).__name__
        raise UsageError(f"the network must give a tensor with a row for each of {2 * len(clean)} images; got {came}")
    first, second = outputs.chunk(2)
    return PairOutputs(first, second, tuple(maps))


def _describe(values: Tensor) -> str:
    return f"{str(values.dtype).removeprefix('torch.')} {list(values.shape)} on {values.device}"
