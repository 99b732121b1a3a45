"""Architectures of other libraries by name: timm:NAME and torchvision:NAME, built and normalized as they say."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from allweather.runtimes.crop import Crop
from allweather.runtimes.errors import DataError, DependencyError, UsageError, first_line, unknown_name
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.system.isolated_imports import isolated_imports
from allweather.trainers.models.architecture import Architecture
from allweather.trainers.torchvision_import import import_torchvision

LIBRARIES = ("timm", "torchvision")
LR = 0.05  # for SGD, half of what ResNets take: networks without BatchNorm after every layer diverge at 0.1
PLAIN_NAME = re.compile(r"[A-Za-z0-9_.]+")  # timm would take "hf-hub:NAME" for a repository whose code it loads
AUXILIARY = ("googlenet", "inception_v3")  # their auxiliary heads would make a second output in training


def library_architecture(name: str) -> Architecture:
    """Returns an architecture of timm or torchvision.

    Args:
        name: timm:NAME or torchvision:NAME, as in `timm.list_models()` and `torchvision.models.list_models()`. A tag of
            timm's that tells pretrained weights apart may follow, as in timm:resnet18d.ra2_in1k.

    Raises:
        UsageError: The library has no classifier of that name.
        DependencyError: timm is not installed.
    """
    library, _, own_name = name.partition(":")
    return _timm(own_name) if library == "timm" else _torchvision(own_name)


def torchvision_weights(name: str) -> Mapping[str, Tensor]:
    """Returns torchvision's default ImageNet weights of one of its models.

    Torchvision downloads the file at the first call and keeps it in torch's hub folder.

    Raises:
        DataError: They cannot be downloaded.
    """
    weights = import_torchvision("models").get_model_weights(name).DEFAULT
    try:
        state: Mapping[str, Tensor] = weights.get_state_dict(progress=True, check_hash=True)
    except OSError as error:  # urllib's errors are OSErrors
        raise DataError(
            f"cannot download the pretrained weights {weights.url}: {error}; "
            f"put the file into {torch.hub.get_dir()}/checkpoints and run again"
        ) from error
    return state


def _torchvision(name: str) -> Architecture:
    models = import_torchvision("models")
    known = models.list_models(module=models)
    if name not in known:
        raise unknown_name("classifier of torchvision", name, known)
    preset = models.get_model_weights(name).DEFAULT.transforms()
    side = preset.crop_size[0]
    crop = Crop(fraction=min(1.0, side / preset.resize_size[0]))
    usual = InputSpec(side, side, _three(preset.mean), _three(preset.std), crop)

    def build(classes: int, spec: InputSpec) -> nn.Module:
        options: dict[str, Any] = {"num_classes": classes}
        if name.startswith("vit_"):
            options["image_size"] = spec.height
        if name.startswith("maxvit"):
            options["input_size"] = (spec.height, spec.width)
        if name in AUXILIARY:
            options |= {"aux_logits": False, "init_weights": True}
        with _building(f"torchvision:{name}", spec):
            network: nn.Module = models.get_model(name, weights=None, **options)
        return network

    return Architecture(build, LR, usual, lambda classes, spec: torchvision_weights(name))


def _timm(name: str) -> Architecture:
    timm = _import_timm()
    if not PLAIN_NAME.fullmatch(name) or not timm.is_model(name):
        known = timm.list_models()
        raise unknown_name("model of timm", name, [each for each in known if each[:3] == name[:3]] or known[:20])
    config = timm.get_pretrained_cfg(name, allow_unregistered=True)
    _, height, width = config.input_size
    crop = Crop("squash") if config.crop_mode == "squash" else Crop(fraction=config.crop_pct)
    usual = InputSpec(height, width, _three(config.mean), _three(config.std), crop)

    def create(classes: int, spec: InputSpec, pretrained: bool) -> nn.Module:
        options: dict[str, Any] = {"img_size": (spec.height, spec.width)} if config.fixed_input_size else {}
        with _building(f"timm:{name}", spec):
            network: nn.Module = timm.create_model(name, pretrained=pretrained, num_classes=classes, **options)
        return network

    def pretrained_weights(classes: int, spec: InputSpec) -> Mapping[str, Tensor]:
        with _downloading(name):
            return create(classes, spec, pretrained=True).state_dict()

    has_weights = bool(config.hf_hub_id or config.url or config.file)
    build = lambda classes, spec: create(classes, spec, pretrained=False)  # noqa: E731 # the same, without weights
    return Architecture(build, LR, usual, pretrained_weights if has_weights else None)


def _import_timm() -> ModuleType:
    import_torchvision("models")  # timm imports torchvision, which needs this door
    try:
        with isolated_imports():
            import timm
    except ModuleNotFoundError as error:
        raise DependencyError("timm:NAME needs timm, which is not installed: pip install 'allweather[timm]'") from error
    module: ModuleType = timm
    return module


@contextmanager
def _building(name: str, spec: InputSpec) -> Iterator[None]:
    """Turns the errors of a library that cannot build a network for a size into one line."""
    try:
        yield
    except (ValueError, RuntimeError, AssertionError, TypeError) as error:
        raise UsageError(
            f"{name} cannot be built for images of {spec.height} x {spec.width} px: {first_line(error)}; "
            "choose another --size"
        ) from error


@contextmanager
def _downloading(name: str) -> Iterator[None]:
    """Turns the errors of timm's download into one line."""
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    try:
        yield
    except (OSError, HfHubHTTPError, OfflineModeIsEnabled) as error:  # httpx's errors become OSErrors there
        raise DataError(
            f"cannot download the pretrained weights of timm:{name}: {first_line(error)}; fetch them on a machine that "
            "is online, and copy its folder ~/.cache/huggingface"
        ) from error


def _three(values: Any) -> tuple[float, float, float]:
    red, green, blue = (float(value) for value in values)
    return red, green, blue
