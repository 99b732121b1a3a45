"""A learned augmentation: how it is kept in a file, and how the trainers use it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor

from allweather.runtimes.bundle.validation import first_fault
from allweather.runtimes.errors import CheckpointError, UsageError
from allweather.trainers.augmentations.learned.networks import AugmentationMode, AugmentationNetwork
from allweather.trainers.augmentations.pairing import TRANSFORMS, Augmentation, TorchvisionAugmentation
from allweather.trainers.checkpoint import tensor_file
from allweather.trainers.models.registry import weights_digest

PREFIX = "learned:"  # before the file's name, where an augmentation is asked for


@dataclass(frozen=True)
class AugmentationCheckpoint:
    """An augmentation network and how it came about.

    Attributes:
        mode: of the network.
        weights: its state dict.
        data: name of the data set it was learned on.
        settings: of the run, as plain values.
        metrics: what was measured, by name.
        history: one row an epoch.
    """

    mode: AugmentationMode
    weights: Mapping[str, Tensor]
    data: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    history: tuple[Mapping[str, float], ...] = ()

    def network(self) -> AugmentationNetwork:
        """The network with these weights, frozen.

        Raises:
            CheckpointError: the weights do not fit.
        """
        network = AugmentationNetwork(self.mode)
        try:
            network.load_state_dict(dict(self.weights))
        except RuntimeError as error:
            raise CheckpointError(
                "the augmentation cannot be built: its weights are those of another version's network; learn it again"
            ) from error
        return network.eval().requires_grad_(requires_grad=False)


class _Header(BaseModel):
    model_config = ConfigDict(extra="forbid")
    format: Literal["allweather-augmentation"] = tensor_file.AUGMENTATION  # type: ignore[assignment]
    schema_version: Literal[2] = 2
    mode: AugmentationMode
    data: str
    settings: dict[str, Any]
    metrics: dict[str, float]
    history: tuple[dict[str, float], ...]


def save_augmentation(path: Path, made: AugmentationCheckpoint) -> None:
    """Writes an augmentation, whole or not at all.

    Raises:
        OutputError: the file cannot be written.
    """
    header = _Header(
        mode=made.mode, data=made.data, settings=dict(made.settings), metrics=dict(made.metrics),
        history=tuple(dict(row) for row in made.history),
    )  # fmt: skip
    tensor_file.write(path, made.weights, header.model_dump(mode="json"))


def load_augmentation(path: Path) -> AugmentationCheckpoint:
    """Reads an augmentation.

    Raises:
        CheckpointError: it is missing, damaged, or something else.
    """
    weights, raw = tensor_file.read(path)
    if raw is None or raw.get("format") != tensor_file.AUGMENTATION:
        raise CheckpointError(f"{path} holds no learned augmentation; 'allweather augmenter' learns one")
    tensor_file.check_schema(path, raw, "learn it again")
    try:
        header = _Header.model_validate(raw)
    except ValidationError as error:
        raise CheckpointError(f"{path} is damaged: {first_fault(error)}; learn it again") from error
    return AugmentationCheckpoint(header.mode, weights, header.data, header.settings, header.metrics, header.history)


@dataclass(frozen=True)
class LearnedAugmentation:
    """Augments pictures of a batch by a learned network.

    Attributes:
        network: frozen.
        digest: of its weights.
        share: of the pictures that are augmented, above 0 to 1, at least one of them; the others stay as they are.
    """

    network: AugmentationNetwork
    digest: str
    share: float = 1.0

    def __call__(self, images: Tensor, epoch: int, rng: torch.Generator) -> Tensor:
        """Augmented copies, each by a dropout of its own."""
        count = max(1, round(self.share * len(images)))
        chosen = torch.rand(len(images), generator=rng, device=images.device).argsort()[:count]
        made = images.clone(memory_format=torch.channels_last)
        with torch.no_grad():
            made[chosen] = self.network.to(images.device)(images[chosen], rng)
        return made

    @property
    def resume_key(self) -> Mapping[str, Any]:
        """A digest of its weights, and the share."""
        return {"strategy": "learned", "augmentation": self.digest, "share": self.share}


def open_augmentation(name: str, share: float = 1.0) -> Augmentation:
    """What --augment asks for: one of torchvision's, or "learned:" and the file of a learned augmentation.

    Args:
        name: what was asked for.
        share: of the pictures that a learned one augments.

    Raises:
        UsageError: it is neither.
        CheckpointError: the file holds no augmentation.
    """
    if name.startswith(PREFIX):
        if name == PREFIX:
            raise UsageError(f"{PREFIX} wants the file that allweather augmenter made: {PREFIX}FILE")
        network = load_augmentation(Path(name.removeprefix(PREFIX)).expanduser()).network()
        return LearnedAugmentation(network, weights_digest(network), share)
    if name not in TRANSFORMS:
        raise UsageError(f"an augmentation is {', '.join(TRANSFORMS)} or {PREFIX}FILE; got {name!r}")
    return TorchvisionAugmentation(name)  # type: ignore[arg-type]
