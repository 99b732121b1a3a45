"""A checkpoint of a state dict that was trained with another program."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import nn

from allweather.runtimes.errors import CheckpointError
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.setting_types import check_instance
from allweather.runtimes.system.path_argument import as_path
from allweather.runtimes.text import printable
from allweather.trainers.checkpoint import tensor_file
from allweather.trainers.checkpoint.checkpoint import Checkpoint
from allweather.trainers.checkpoint.foreign import COUNTER, network_weights, read_state_dict
from allweather.trainers.checkpoint.weights import load_weights, path_text
from allweather.trainers.data.class_names import check_class_names
from allweather.trainers.models.registry import build_model


def checkpoint_from_state_dict(
    path: Path | str, network: str | nn.Module, classes: Sequence[str], spec: InputSpec
) -> Checkpoint:
    """Makes a checkpoint from a state dict that was trained elsewhere, in a .safetensors or .pth file.

    The prefix that wrapper modules add to the names of the network is removed, what has another one is left out with a
    warning, and a last layer called `fc` or `linear` gets the name that the architecture has for it.

    Args:
        path: The file.
        network: Name of the architecture, as in `get_architecture`; or a network of the user's own, which stays as it
            is.
        classes: Names of the classes, in the order of the logits.
        spec: Input of the network: size in pixels, and the mean and std that it was trained with.

    Raises:
        CheckpointError: The file cannot be read, holds several networks or the same classes in another order, or a
            weight is missing, left over, or of another shape.
        DataError: The class names are no different texts.
        UsageError: There is no such architecture, the network is no classifier of these classes and this size, or an
            argument is of another type.
    """
    path = as_path(path)
    check_instance("classes", classes, Sequence, "it is a list of texts, in the order of the logits")
    check_instance("spec", spec, InputSpec, "InputSpec(height, width, mean, std) makes one")
    classes = tuple(classes)
    check_class_names(classes)
    read = read_state_dict(path)
    _check_order(path, classes)
    if isinstance(network, str):
        arch, module, model = network, None, build_model(network, len(classes), spec)
    else:
        empty = Checkpoint.of(network, classes, spec)
        arch, module, model = empty.arch, network, empty.classifier()
    own = model.network.state_dict()
    weights = network_weights(read, own, path_text(path))
    for theirs, ours in (("fc", "linear"), ("linear", "fc")):
        if f"{ours}.weight" in own and f"{theirs}.weight" in weights:
            for part in ("weight", "bias"):
                if f"{theirs}.{part}" in weights:
                    weights[f"{ours}.{part}"] = weights.pop(f"{theirs}.{part}")
    for key in own:  # counters of BatchNorm, which do not affect the output and are missing in older files
        if key.endswith(COUNTER) and key not in weights:
            weights[key] = own[key]
    try:
        load_weights(model, weights)
    except CheckpointError as error:
        raise CheckpointError(f"{path_text(path)}: {error}") from error
    return Checkpoint(arch, classes, spec, model.network.state_dict(), "imported", 0, module=module)


def _check_order(path: Path, classes: tuple[str, ...]) -> None:
    """Checks that the classes are not those that a checkpoint of allweather states, in another order.

    Raises:
        CheckpointError: They are; each output would get the name of another class.
    """
    stated = tensor_file.stated_classes(path)
    if stated != classes and sorted(stated) == sorted(classes):
        raise CheckpointError(
            f"{path_text(path)} is a checkpoint of allweather, whose classes are in another order: "
            f"{printable(', '.join(stated)[:200])}; it needs no import, or give them in that order"
        )
