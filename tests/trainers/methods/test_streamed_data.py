"""Every training method gives the same weights on images in memory and on the same images streamed."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from trained_models import SMALL_NETWORK

from allweather.runtimes.crop import Crop
from allweather.trainers.augmentations.photometric import AUGMENTATIONS
from allweather.trainers.augmentations.strengths import find_strengths
from allweather.trainers.checkpoint.checkpoint import Checkpoint
from allweather.trainers.choices import AugmentationAim, FinetuneMethod, TrainMethod
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.data.registry import open_dataset
from allweather.trainers.data.streamed import StreamedSplit
from allweather.trainers.data.streamed.reading import Reading
from allweather.trainers.methods import gamma_search
from allweather.trainers.methods.config import TrainConfig
from allweather.trainers.methods.finetune import FinetuneSettings, finetune
from allweather.trainers.methods.gamma_search import search_gamma
from allweather.trainers.methods.learned_augmentation.learn import learn_augmentation
from allweather.trainers.methods.learned_augmentation.settings import LearnAugmentationSettings
from allweather.trainers.methods.learned_augmentation.visualize import latent_traversal, sample_augmentations
from allweather.trainers.methods.loss_predictor import PredictorSettings, add_predictor
from allweather.trainers.methods.train import train
from allweather.trainers.training.launch import launch
from allweather.trainers.training.settings import FitSettings

FIT = FitSettings(epochs=1, batch_size=16)
PAPER = {name: augmentation.paper for name, augmentation in AUGMENTATIONS.items()}
Weights = Mapping[str, Tensor]
SLOW = pytest.mark.slow
FAST = ("plain", "multi-ait", "finetune fma", "predictor")


def write_images(root: Path, counts: Mapping[str, int]) -> None:
    """Writes JPEGs of several sizes and three colors, so many of each class in each split."""
    rng = np.random.default_rng(0)
    for split, count in counts.items():
        for label, name in enumerate(("blue", "green", "red")):
            folder = root / split / name
            folder.mkdir(parents=True)
            for index in range(count):
                height, width = rng.integers(18, 33, 2)
                pixels = rng.integers(0, 120, (height, width, 3), dtype=np.uint8)
                pixels[..., label] += 100
                cv2.imwrite(str(folder / f"{index}.jpg"), pixels)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("images")
    write_images(root, {"train": 16, "val": 6, "test": 1})
    return root


def opened(folder: Path, *, stream: bool) -> Dataset:
    data = open_dataset(f"folder:{folder}", 16, crop=Crop("center"), reading=Reading(stream=stream, workers=1))
    assert isinstance(data.train, StreamedSplit) == stream
    return data


@pytest.fixture(scope="module")
def start(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    data, out = opened(folder, stream=False), tmp_path_factory.mktemp("start") / "start.safetensors"
    (trained,) = train([SMALL_NETWORK], data, FIT, out, fabric=launch())
    return dataclasses.replace(trained, strengths=PAPER)


def trained(data: Dataset, out: Path, method: TrainMethod) -> Weights:
    networks = [SMALL_NETWORK] * (2 if method in ("multi-ait", "dml") else 1)
    checkpoints = train(networks, data, FIT, out / "m.safetensors", fabric=launch(), config=TrainConfig(method))
    return {f"{index} {key}": value for index, each in enumerate(checkpoints) for key, value in each.weights.items()}


def finetuned(data: Dataset, out: Path, start: Checkpoint, method: FinetuneMethod) -> Weights:
    settings = FinetuneSettings(method, fit=FIT)
    checkpoint = finetune(start, data, settings, out / "m.safetensors", fabric=launch())
    return {**checkpoint.weights, **{key: torch.tensor(value) for key, value in checkpoint.metrics.items()}}


def with_predictor(data: Dataset, out: Path, start: Checkpoint) -> Weights:
    settings = PredictorSettings(fit=FitSettings(epochs=1, batch_size=16, shift=0))
    checkpoint = add_predictor(
        start, data, settings, out / "m.safetensors", losses_folder=out / "losses", fabric=launch()
    )
    assert checkpoint.predictor
    return checkpoint.predictor.weights


def learned(data: Dataset, out: Path, aim: AugmentationAim) -> Weights:
    settings = LearnAugmentationSettings(aim=aim, gan_epochs=1, epochs=1, damping=0.1, classifier=FIT)
    result = learn_augmentation(SMALL_NETWORK, data, settings, out / "m.safetensors", fabric=launch())
    images = {**sample_augmentations(result.network(), data.val), **latent_traversal(result.network(), data.val)}
    return {**result.weights, **{key: torch.from_numpy(np.stack(row)) for key, row in images.items()}}


METHODS: Mapping[str, Callable[[Dataset, Path, Checkpoint], Weights]] = {
    "plain": lambda data, out, start: trained(data, out, "plain"),
    "ait": lambda data, out, start: trained(data, out, "ait"),
    "multi-ait": lambda data, out, start: trained(data, out, "multi-ait"),
    "dml": lambda data, out, start: trained(data, out, "dml"),
    "finetune at": lambda data, out, start: finetuned(data, out, start, "at"),
    "finetune st": lambda data, out, start: finetuned(data, out, start, "st"),
    "finetune ait": lambda data, out, start: finetuned(data, out, start, "ait"),
    "finetune fma": lambda data, out, start: finetuned(data, out, start, "fma"),
    "finetune robust": lambda data, out, start: finetuned(data, out, start, "robust"),
    "predictor": with_predictor,
    "augmentation clean": lambda data, out, start: learned(data, out, "clean"),
    "augmentation combined": lambda data, out, start: learned(data, out, "combined"),
    "augmentation corrupted": lambda data, out, start: learned(data, out, "corrupted"),
}


@pytest.mark.parametrize("method", [each if each in FAST else pytest.param(each, marks=SLOW) for each in METHODS])
@pytest.mark.slow
def test_weights_are_those_of_images_in_memory(method: str, folder: Path, start: Checkpoint, tmp_path: Path) -> None:
    results = []
    for stream in (False, True):
        out = tmp_path / str(stream)
        out.mkdir()
        results.append(METHODS[method](opened(folder, stream=stream), out, start))
    in_memory, streamed = results
    assert in_memory.keys() == streamed.keys()
    for key, value in in_memory.items():
        assert torch.equal(value, streamed[key]), key


class Brightness(nn.Module):
    """Tells the three colors from one another, and gray images above a brightness from those below."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3)).clamp(0.1, 0.6)[:, [2, 1, 0]]


@pytest.mark.slow
def test_strengths_are_those_of_images_in_memory(folder: Path) -> None:
    in_memory, streamed = (
        find_strengths(Brightness(), opened(folder, stream=stream).train, 0.3) for stream in (False, True)
    )
    assert in_memory == streamed


@SLOW
def test_gamma_trials_are_those_of_images_in_memory(
    folder: Path, start: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gamma_search, "GAMMAS", (0.3,))
    in_memory, streamed = (
        search_gamma(
            start, opened(folder, stream=stream), FinetuneSettings("fma", fit=FIT), tmp_path / f"{stream}.safetensors",
            fabric=launch(),
        ).trials[0].as_dict()
        for stream in (False, True)
    )  # fmt: skip
    assert in_memory == streamed


@pytest.fixture
def damaged(folder: Path, tmp_path: Path) -> Path:
    """A folder in which the content of one image of train and one of val is lost."""
    shutil.copytree(folder, tmp_path / "damaged")
    for split in ("train", "val"):
        (tmp_path / "damaged" / split / "green/3.jpg").write_bytes(b"\xff\xd8\xff" + bytes(500))
    return tmp_path / "damaged"


@pytest.mark.parametrize(
    "method",
    ["plain", "multi-ait", "finetune robust", "predictor", pytest.param("augmentation corrupted", marks=SLOW)],
)
@pytest.mark.slow
def test_a_damaged_image_is_named_and_left_out(
    method: str, damaged: Path, start: Checkpoint, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    result = METHODS[method](opened(damaged, stream=True), tmp_path, start)
    assert all(value.isfinite().all() for value in result.values())
    assert f"{damaged / 'train/green/3.jpg'} cannot be read as an image and is left out" in caplog.text
    assert caplog.text.count("train/green/3.jpg") == 1
