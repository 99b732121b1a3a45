"""What tests of several rooms share: small real data on disk, and the data beside the checkout where it is."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import fake_cuda
import fake_tensorrt
import numpy as np
import pytest
import torch

from allweather.exporters.export import ExportOptions, export
from allweather.runtimes.bundle.manifest import Manifest
from allweather.runtimes.preprocess import InputSpec
from allweather.trainers.checkpoint.checkpoint import Checkpoint
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.data.registry import open_dataset
from allweather.trainers.models.registry import build
from allweather.trainers.training.fit import fit
from allweather.trainers.training.launch import launch
from allweather.trainers.training.settings import FitSettings

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared"
COLORS = {"blue": (200, 60, 30), "green": (40, 170, 60), "red": (40, 40, 190)}  # BGR


def paint_folder(root: Path, counts: dict[str, int], side: int = 32) -> Path:
    """A folder data set of noisy pictures whose color tells the class, `counts` of each class and split."""
    rng = np.random.default_rng(5)
    for split, count in counts.items():
        for name, color in COLORS.items():
            (root / split / name).mkdir(parents=True)
            for number in range(count):
                picture = rng.normal(color, 70, (side, side + 8, 3)).clip(0, 255).astype(np.uint8)
                cv2.imwrite(str(root / split / name / f"{number:03}.png"), picture)
    return root


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What engines compile is kept for the session, not in the folder of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train, val and test folders of three classes."""
    return paint_folder(tmp_path_factory.mktemp("data") / "colors", {"train": 40, "val": 8, "test": 8})


@pytest.fixture(scope="session")
def dataset(folder: Path) -> Dataset:
    """The folder, opened at 32 px."""
    return open_dataset(f"folder:{folder}", 32)


@pytest.fixture(scope="session")
def checkpoint(dataset: Dataset) -> Checkpoint:
    """A ResNet-20 that has learned the colors."""
    torch.manual_seed(0)
    model = build("resnet20", 3, InputSpec(32, 32))
    averaged, history = fit(model, dataset, FitSettings(epochs=6, batch_size=20, ema=0.5), 0.05, fabric=launch())
    assert history[-1].val_accuracy > 0.9
    weights = {key.removeprefix("network."): value for key, value in averaged.state_dict().items()}
    return Checkpoint("resnet20", dataset.classes, InputSpec(32, 32), weights, dataset.name, 0)


@pytest.fixture(scope="session")
def exported(
    checkpoint: Checkpoint, dataset: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Manifest]:
    """That ResNet-20 as a bundle for every engine and precision, and its manifest."""
    out = tmp_path_factory.mktemp("bundle") / "colors.aw"
    manifest = export(checkpoint, dataset, out, ExportOptions(["openvino", "onnx"], ["fp32", "int8"]))
    return out, manifest


def shared(part: str) -> Path:
    """A path of the data that lies beside the checkout; a skip that says what was not checked where it does not."""
    path = SHARED / part
    if not path.exists():
        if os.environ.get("CI"):
            pytest.fail(f"{path} is missing, and CI must not skip")
        pytest.skip(f"{path} is missing: real CIFAR-10 data and published classifiers were not checked")
    return path


@pytest.fixture(scope="session")
def cifar10(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the official CIFAR-10 batches."""
    unpack = shared("data/unpack.py")
    root = tmp_path_factory.mktemp("cifar10")
    subprocess.run([sys.executable, str(unpack), str(root)], check=True)
    return root


@pytest.fixture(scope="session")
def published() -> Path:
    """The folder of CIFAR-10 classifiers that were trained elsewhere."""
    return shared("models")


@pytest.fixture(scope="session")
def cifar10c() -> Path:
    """A folder like CIFAR-10-C: 120 test pictures through the original implementation of each corruption."""
    return shared("data/cifar10c")


@pytest.fixture(scope="session")
def golden() -> Path:
    """The folder of other people's published figures."""
    return shared("data/golden")


@pytest.fixture(scope="session")
def serve() -> Callable[[Path], Any]:
    """Serves a model repository over KServe v2 while a `with` block lasts; see tests/kserve_server.py."""
    serving: Callable[[Path], Any] = runpy.run_path(str(Path(__file__).with_name("kserve_server.py")))["KserveServer"]
    return serving


@pytest.fixture(scope="session")
def sample_bundle() -> Path:
    """The bundle of the samples: ten classes of CIFAR-10, a loss predictor, both engines, FP32 and INT8."""
    return ROOT / "samples" / "bundles" / "cifar10-resnet20"


class FakeJetson:
    """A machine with a GPU and TensorRT that are not there; its cache of engines is its own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch, self.cudart = monkeypatch, fake_cuda.FakeCudart()
        monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", self.cudart)
        self.install()

    def install(self, version: str = "10.3.0", **settings: Any) -> Any:
        """Another TensorRT; see `fake_library`."""
        trt = fake_tensorrt.fake_library(self.cudart, version, **settings)
        self._monkeypatch.setitem(sys.modules, "tensorrt", trt)
        return trt


@pytest.fixture
def jetson(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeJetson:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return FakeJetson(monkeypatch)


def allweather(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Runs the command line as a user does, in a process of its own."""
    command = [sys.executable, "-m", "allweather.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
