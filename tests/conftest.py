"""Fixtures of several packages: data beside the checkout where it is, a fake Jetson, a cache of the session's own."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fake_cuda
import fake_tensorrt
import hypothesis
import pytest

from allweather.runtimes.system.isolated_imports import isolated_imports

pytest_plugins = ["exported_once", "trained_models"]

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared"


# The same examples in each run, so that a change alone decides whether it passes; `make fuzz` draws new ones. No test
# asserts times, which depend on what else runs.
hypothesis.settings.register_profile(
    "same-examples", derandomize="ALLWEATHER_FUZZ_EXAMPLES" not in os.environ, deadline=None
)
hypothesis.settings.load_profile("same-examples")


def pytest_configure(config: pytest.Config) -> None:
    """Keeps the libraries that tests import from reporting their use."""
    isolation = isolated_imports()
    isolation.__enter__()
    config.add_cleanup(lambda: isolation.__exit__(None, None, None))


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keeps what engines compile for the session, not in the folder of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


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
    """A folder like CIFAR-10-C: 120 test images through the original implementation of each corruption."""
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
