"""TensorRT builds: precision, progress, errors, and the timing cache."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from color_network import color_network
from hypothesis import given
from hypothesis import strategies as st

from allweather.exporters.tensorrt.build import BuildConfig, BuildResult, build
from allweather.exporters.tensorrt.progress import BuildProgress
from allweather.runtimes.engines.tensorrt.library import Library, open_library
from allweather.runtimes.errors import EngineError

ROOT = Path(__file__).parents[3]


@pytest.fixture
def graph() -> bytes:
    """Mean color times a matrix of 3 x 2."""
    return color_network(np.ones((3, 2), np.float32))


def build_here(build_config: BuildConfig) -> BuildResult:
    return build(open_library("tensorrt"), build_config)


@pytest.mark.parametrize("version", ["10.3.0", "10.16.1.7", "11.4.1.106"])
@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16", "int8"])
def test_an_engine_begins_with_its_version(jetson: Any, graph: bytes, version: str, precision: str) -> None:
    jetson.install(version)
    engine = build_here(BuildConfig(graph, precision, 12, "8.7")).engine
    assert engine[:4] == b"ftrt"
    assert ".".join(map(str, engine[24:28])).startswith(version)


@pytest.mark.parametrize("monitored", [True, False])
def test_progress_rises_to_the_end(jetson: Any, graph: bytes, monitored: bool) -> None:
    jetson.install(monitored=monitored)
    progress = BuildProgress(open_library("tensorrt").trt)
    assert (progress.monitor is not None) == monitored
    build_here(BuildConfig(graph, "fp32", 12, "8.7"))


@given(steps=st.lists(st.integers(1, 6), min_size=1, max_size=4))
@pytest.mark.slow
def test_nested_phases_never_fall_back_and_end_at_one(steps: list[int]) -> None:
    progress, shares = BuildProgress(object()), [0.0]

    def run(depth: int) -> None:
        name = f"phase {depth}"
        progress.begin(name, f"phase {depth - 1}" if depth else None, steps[depth])
        for step in range(steps[depth]):
            if depth + 1 < len(steps):
                run(depth + 1)
            assert progress.advance(name, step)
            shares.append(progress.share)
        progress.end(name)

    run(0)
    assert shares == sorted(shares)
    assert progress.share == pytest.approx(1)


def test_the_error_names_the_node_that_is_refused(jetson: Any) -> None:
    with pytest.raises(EngineError, match=r"^tensorrt refuses the node conv1 \(Conv\): not this; "):
        build_here(BuildConfig(b"garbage", "int8", 12, "8.7"))


@pytest.mark.parametrize(("refuses", "message"), [("build", "no tactic for conv1"), ("builder", "cannot build here")])
@pytest.mark.parametrize("version", ["10.3.0", "11.4.1.106"])
def test_a_build_that_fails_says_why(jetson: Any, graph: bytes, refuses: str, message: str, version: str) -> None:
    jetson.install(version, refuses=refuses)
    with pytest.raises(EngineError, match=message) as caught:
        build_here(BuildConfig(graph, "int8", 12, "8.7"))
    assert str(caught.value).isprintable()


def test_if_a_strongly_typed_build_fails_builder_flags_are_tried_with_a_warning(
    jetson: Any, graph: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    jetson.install("10.3.0", refuses="typed")
    assert build_here(BuildConfig(graph, "int8", 12, "8.7")).engine
    assert "trying the builder flags INT8, FP16" in caplog.text
    jetson.install("11.4.1.106", refuses="typed")  # has no flags
    with pytest.raises(EngineError, match="no tactic"):
        build_here(BuildConfig(graph, "int8", 12, "8.7"))


def test_a_timing_cache_is_used_again_but_not_one_of_another_device(jetson: Any, graph: bytes) -> None:
    build_config = BuildConfig(graph, "fp32", 12, "8.7")
    first = build_here(build_config)
    again = build_here(replace(build_config, timing_cache=first.timing_cache))
    assert again.timing_cache == first.timing_cache + b"+"
    assert build_here(replace(build_config, timing_cache=b"of another device")).timing_cache == b"+"


def test_an_interrupted_watch_stops_the_build(jetson: Any, graph: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    stopped, library = threading.Event(), open_library("tensorrt")

    def build_slowly(self: Any, network: Any, config: Any) -> None:
        while config.progress_monitor.step_complete("Building engine", 0):
            stopped.wait(0.01)
        stopped.set()

    monkeypatch.setattr(library.trt.Builder, "build_serialized_network", build_slowly)

    def watch(share: float, step: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(library, BuildConfig(graph, "fp32", 12, "8.7"), watch)
    assert stopped.is_set()


@pytest.mark.slow
def test_neither_torch_nor_onnx_is_needed_to_build() -> None:
    module = "allweather.exporters.tensorrt.build_bundle"
    code = f"import sys, {module}; print({{'torch', 'onnx', 'openvino'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_the_real_builder_for_rtx_takes_our_graphs_and_refuses_bad_ones() -> None:
    python = os.environ.get("ALLWEATHER_RTX_PYTHON", sys.executable)
    if python == sys.executable and importlib.util.find_spec("tensorrt_rtx") is None:
        pytest.skip(
            "tensorrt_rtx is not installed and ALLWEATHER_RTX_PYTHON names no Python that has it: no real build"
        )
    command = [python, str(ROOT / "benchmarks/exporters/tensorrt_rtx_build.py"), "resnet20", "32"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("\nall as expected\n")


def test_every_name_of_tensorrt_that_is_used_is_in_the_real_bindings() -> None:
    wheels = os.environ.get("ALLWEATHER_TENSORRT_WHEELS", "").split()
    if not wheels:
        pytest.skip("ALLWEATHER_TENSORRT_WHEELS names no wheels of TensorRT's bindings: its names were not checked")
    command = [sys.executable, str(ROOT / "benchmarks/exporters/tensorrt_names.py"), *wheels]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(", 0 incorrect") == len(wheels)
    for name in ("IExecutionContext.execute_async_v3()", "ICudaEngine.device_memory_size_v2", "the fake Builder"):
        assert done.stdout.count(f"  {name}") >= len(wheels)


def test_the_library_has_its_variant_and_version(jetson: Any) -> None:
    library = open_library("tensorrt")
    assert isinstance(library, Library)
    assert (library.variant, library.version) == ("tensorrt", "10.3.0")
    assert open_library("tensorrt").logger is library.logger  # a process keeps its first logger
