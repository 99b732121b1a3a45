"""A learned augmentation: its file, and its use as the augmentation of a training method."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor

from allweather.runtimes.bundle.validation import first_validation_error
from allweather.runtimes.errors import CheckpointError, UsageError
from allweather.runtimes.system.home_path import home_path
from allweather.runtimes.system.path_argument import as_path
from allweather.trainers.augmentations.augmix import AUGMIX
from allweather.trainers.augmentations.corrupted import CORRUPTED_AUGMIX, CorruptionAugmentation
from allweather.trainers.augmentations.learned.networks import AugmentationMode, AugmentationNetwork
from allweather.trainers.augmentations.pairing import Augmentation, TorchvisionAugmentation
from allweather.trainers.augmentations.prime import PRIME
from allweather.trainers.checkpoint import tensor_file
from allweather.trainers.choices import LEARNED
from allweather.trainers.models.classifier import weights_digest

NAMED: Mapping[str, Augmentation] = {
    "augmix": AUGMIX,
    "prime": PRIME,
    "randaugment": TorchvisionAugmentation("randaugment"),
    "trivial": TorchvisionAugmentation("trivial"),
    "corruptions": CorruptionAugmentation(),
    "augmix+corruptions": CORRUPTED_AUGMIX,
}


@dataclass(frozen=True)
class AugmentationCheckpoint:
    """The weights of an augmentation network and a record of how it was learned.

    Attributes:
        mode: Mode of the network; see `AugmentationNetwork`.
        weights: State dict of the network.
        data: Name of the data set that it was learned on.
        settings: Settings of the run, as plain values.
        metrics: Metrics of the run, by name.
        history: One row of metrics for each epoch.
        grid: Side of the network's grid; see `AugmentationNetwork`.
    """

    mode: AugmentationMode
    weights: Mapping[str, Tensor]
    data: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    history: tuple[Mapping[str, float], ...] = ()
    grid: int = 1

    def network(self) -> AugmentationNetwork:
        """Builds the network with these weights, in eval mode and without gradients.

        Raises:
            CheckpointError: The weights do not fit the network.
        """
        network = AugmentationNetwork(self.mode, self.grid)
        try:
            network.load_state_dict(dict(self.weights))
        except RuntimeError as error:
            raise CheckpointError(
                "the augmentation cannot be built: its weights belong to the network of another version; learn it again"
            ) from error
        return network.eval().requires_grad_(requires_grad=False)


class _Header(BaseModel):
    """The JSON header of the file; unknown fields are refused."""

    model_config = ConfigDict(extra="forbid")
    format: Literal["allweather-augmentation"] = tensor_file.AUGMENTATION  # type: ignore[assignment]
    schema_version: Literal[2] = 2
    mode: AugmentationMode
    grid: Literal[1, 4, 8] = 1  # files from before there was a choice lack it
    data: str
    settings: dict[str, Any]
    metrics: dict[str, float]
    history: tuple[dict[str, float], ...]


def save_augmentation(path: Path | str, augmentation: AugmentationCheckpoint) -> None:
    """Writes a learned augmentation to a file, completely or not at all.

    Raises:
        OutputError: The file cannot be written.
    """
    path = as_path(path)
    header = _Header(
        mode=augmentation.mode,
        grid=augmentation.grid,  # type: ignore[arg-type]  # checked when it is read
        data=augmentation.data,
        settings=dict(augmentation.settings),
        metrics=dict(augmentation.metrics),
        history=tuple(dict(row) for row in augmentation.history),
    )
    tensor_file.write(path, augmentation.weights, header.model_dump(mode="json"))


def load_augmentation(path: Path | str) -> AugmentationCheckpoint:
    """Reads a learned augmentation from its file.

    Raises:
        CheckpointError: The file is missing, damaged, of another schema version, or not a learned augmentation.
    """
    path = as_path(path)
    weights, raw = tensor_file.read(path)
    if raw is None or raw.get("format") != tensor_file.AUGMENTATION:
        raise CheckpointError(f"{path} holds no learned augmentation; 'allweather learn-augmentation' makes one")
    tensor_file.check_schema(path, raw, "learn it again")
    try:
        header = _Header.model_validate(raw)
    except ValidationError as error:
        raise CheckpointError(f"{path} is damaged: {first_validation_error(error)}; learn it again") from error
    return AugmentationCheckpoint(
        header.mode, weights, header.data, header.settings, header.metrics, header.history, header.grid
    )


@dataclass(frozen=True)
class LearnedAugmentation:
    """Augments images of a batch with a learned network.

    Attributes:
        network: Augmentation network, in eval mode and without gradients.
        digest: Digest of the network's weights, from `weights_digest`.
        share: Share of the images that are augmented, above 0, at most 1; at least one image is augmented. The other
            images stay unchanged.
    """

    network: AugmentationNetwork
    digest: str
    share: float = 1.0

    def __call__(self, images: Tensor, epoch: int, rng: torch.Generator) -> Tensor:
        """Augments random images of the batch; each image has its own dropout. See `Augmentation`."""
        count = max(1, round(self.share * len(images)))
        chosen = torch.rand(len(images), generator=rng, device=images.device).argsort()[:count]
        augmented = images.clone(memory_format=torch.channels_last)
        with torch.no_grad():
            augmented[chosen] = self.network.to(images.device)(images[chosen], rng)
        return augmented

    @property
    def resume_key(self) -> Mapping[str, Any]:
        """The digest of the weights, and the share."""
        return {"strategy": "learned", "augmentation": self.digest, "share": self.share}


def open_augmentation(name: str, share: float = 1.0) -> Augmentation:
    """Returns the augmentation that a training option names.

    Args:
        name: "augmix", "prime", "randaugment", "trivial", "corruptions" for the 15 common corruptions,
            "augmix+corruptions" for AugMix with them among its operations, or "learned:" followed by the path of a
            learned augmentation.
        share: Share of the images that a learned augmentation changes, above 0, at most 1.

    Raises:
        UsageError: The name is none of these.
        CheckpointError: The file does not hold a learned augmentation.
    """
    if name.startswith(LEARNED):
        if name == LEARNED:
            raise UsageError(f"{LEARNED} needs the file that 'allweather learn-augmentation' made: {LEARNED}FILE")
        network = load_augmentation(home_path(name.removeprefix(LEARNED))).network()
        return LearnedAugmentation(network, weights_digest(network), share)
    if name not in NAMED:
        raise UsageError(f"an augmentation is {', '.join(NAMED)} or {LEARNED}FILE; got {name!r}")
    return NAMED[name]
