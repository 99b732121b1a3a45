"""A tiny bundle with fixed content, and a real model in ONNX and OpenVINO IR with its outputs in numpy."""

from __future__ import annotations

import re
import signal
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from color_network import color_network

from allweather.runtimes.bundle.bundle import Bundle, npy_bytes, write_bundle
from allweather.runtimes.bundle.manifest import Input, Manifest, Model, Parity
from allweather.runtimes.errors import BundleError
from allweather.runtimes.types import Floats, Image

ADVICE = re.compile(
    "export it again|export again with this one|name a (folder|bundle)|make one with|put the file itself|check its perm"
)


@dataclass(frozen=True)
class UnwrittenBundle:
    """The manifest and the files that a bundle is written from."""

    manifest: Manifest
    contents: Mapping[str, bytes]

    def write(self, path: Path) -> Path:
        write_bundle(path, self.manifest, self.contents)
        return path


@dataclass(frozen=True)
class ColorModel:
    """A classifier whose logits are the mean color times a matrix: uint8 [n, 8, 8, 3] -> float32 [n, 4]."""

    matrix: Floats
    onnx: bytes
    xml: bytes
    bin: bytes

    def logits(self, images: Image) -> Floats:
        return np.asarray(images.astype(np.float64).mean(axis=(1, 2)) @ self.matrix, np.float32)


def model(engine: str, file: str, *, precision: str = "fp32", weights: str | None = None) -> Model:
    parity = Parity(
        images=4, largest_logit_difference=0.25, mean_logit_difference=0, agreement=1, accuracy=0.5,
        reference_accuracy=0.5,
    )  # fmt: skip
    return Model.model_validate(
        {
            "role": "classifier", "engine": engine, "precision": precision, "file": file, "weights": weights,
            "golden": "golden/logits.npy", "tolerance": 0.001, "seconds": (0.25, 0.5), "parity": parity,
        }
    )  # fmt: skip


def manifest(side: int, classes: tuple[str, ...], models: tuple[Model, ...], count: int) -> Manifest:
    return Manifest(
        arch="tiny", classes=classes, input=Input(height=side, width=side, mean=(0.5, 0.5, 0.5), std=(0.25, 0.5, 1)),
        views=("identity",), models=models, golden_frames="golden/frames.npy", golden_count=count, calibration=None,
        machine="a test", versions={"numpy": "2"}, files={},
    )  # fmt: skip


@pytest.fixture(scope="session")
def tiny() -> UnwrittenBundle:
    """A bundle of two classes whose model no engine can run."""
    contents = {
        "golden/frames.npy": npy_bytes(np.arange(24, dtype=np.uint8).reshape(2, 2, 2, 3)),
        "golden/logits.npy": npy_bytes(np.array([[0, 1], [2, -0.5]], np.float32)),
        "model.onnx": b"a graph",
    }
    return UnwrittenBundle(manifest(2, ("dry", "rain"), (model("onnx", "model.onnx"),), 2), contents)


@pytest.fixture(scope="session")
def network() -> ColorModel:
    import openvino

    matrix = np.random.default_rng(5).normal(0, 0.01, (3, 4)).astype(np.float32)
    data = color_network(matrix)
    with tempfile.TemporaryDirectory() as folder:
        xml, weights = Path(folder, "n.xml"), Path(folder, "n.bin")
        openvino.serialize(openvino.Core().read_model(data, b""), str(xml), str(weights))
        return ColorModel(matrix, data, xml.read_bytes(), weights.read_bytes())


@pytest.fixture(scope="session")
def real(network: ColorModel) -> UnwrittenBundle:
    """A bundle that both engines can run. Its INT8 model computes in fp32, as choosing among models needs no more."""
    frames = np.random.default_rng(6).integers(0, 256, (3, 8, 8, 3), np.uint8)
    contents = {
        "golden/frames.npy": npy_bytes(frames),
        "golden/logits.npy": npy_bytes(network.logits(frames)),
        "model.onnx": network.onnx,
        "model.xml": network.xml,
        "model.bin": network.bin,
    }
    models = (
        model("onnx", "model.onnx"),
        model("onnx", "model.onnx", precision="int8"),
        model("openvino", "model.xml", weights="model.bin"),
    )
    return UnwrittenBundle(manifest(8, ("clear", "rain", "fog", "snow"), models, 3), contents)


@pytest.fixture(scope="session")
def real_bundle(real: UnwrittenBundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return Bundle.open(real.write(tmp_path_factory.mktemp("real") / "bundle"))


@pytest.fixture(scope="session")
def fresh() -> Callable[[], AbstractContextManager[Path]]:
    """An empty folder for one example of hypothesis; pytest's own folder is shared by all examples of a test."""

    @contextmanager
    def folder() -> Iterator[Path]:
        with tempfile.TemporaryDirectory() as name:
            yield Path(name)

    return folder


@pytest.fixture(scope="session")
def refusal() -> Callable[[Path], str]:
    """Returns the message of a bundle that must not open: one line that says what to do, within seconds."""

    def message_of(path: Path) -> str:
        def too_slow(signum: int, frame: object) -> None:
            raise AssertionError(f"opening {path} hangs")

        before = signal.signal(signal.SIGALRM, too_slow)
        signal.alarm(20)
        try:
            with pytest.raises(BundleError) as caught:
                Bundle.open(path)
        finally:
            signal.alarm(0)
            signal.signal(signal.SIGALRM, before)
        message = str(caught.value)
        assert message.isprintable(), message
        assert len(message) < 600, message
        assert ADVICE.search(message), message
        return message

    return message_of
