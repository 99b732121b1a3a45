"""The TensorRT engine on a fake GPU: outputs, one graph for each batch size, clear errors, no memory left behind."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from allweather.exporters.tensorrt.build import BuildConfig, build
from allweather.runtimes.engines.base import CompiledModel, Engine
from allweather.runtimes.engines.tensorrt.cache import built_engines
from allweather.runtimes.engines.tensorrt.cuda import open_cuda
from allweather.runtimes.engines.tensorrt.library import open_library
from allweather.runtimes.engines.tensorrt.session import MAX_BATCH_SIZE, key_of, probe, start
from allweather.runtimes.errors import DependencyError, EngineError, NotBuiltError
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.types import Image

FREEING = {"cudaFree", "cudaFreeHost", "cudaStreamDestroy", "cudaGraphExecDestroy"}
CAPTURING = {"cudaStreamBeginCapture", "cudaStreamEndCapture", "cudaGraphInstantiate", "cudaGraphDestroy"}


def compiled(network: Any) -> CompiledModel:
    return CompiledModel(network.onnx, b"", "fp32", InputSpec(8, 8), 4)


def stored(network: Any) -> CompiledModel:
    """A model whose engine is built and cached, as after 'allweather build'."""
    library, model = open_library("tensorrt"), compiled(network)
    key = key_of(model, library, open_cuda().gpu())
    built = build(library, BuildConfig(model.graph, "fp32", MAX_BATCH_SIZE, "8.7"))
    built_engines().store(key, built.engine)
    return model


def started(network: Any) -> Engine:
    return start(stored(network), "tensorrt")


def random_images(count: int, seed: int = 0) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (count, 8, 8, 3), np.uint8)


def one_line(error: BaseException) -> str:
    assert str(error).isprintable(), str(error)
    assert len(str(error)) < 600
    return str(error)


@pytest.mark.parametrize("version", ["10.3.0", "10.16.1.7", "11.4.1.106"])
def test_it_agrees_with_numpy(jetson: Any, network: Any, version: str) -> None:
    jetson.install(version)
    engine = started(network)
    assert probe("tensorrt") == version
    for count in (1, 5, 12, 1, 5, MAX_BATCH_SIZE, 13, 50):
        images = random_images(count, count)
        logits = engine.infer(images)
        assert (logits.dtype, logits.shape) == (np.float32, (count, 4))
        np.testing.assert_allclose(logits, network.logits(images), atol=1e-5, rtol=1e-5)
    engine.close()
    assert not jetson.cudart.live


def test_the_caller_may_keep_the_outputs(jetson: Any, network: Any) -> None:
    engine = started(network)
    for count in (1, 13):
        first = engine.infer(random_images(count))
        copy = first.copy()
        engine.infer(random_images(count, 1))
        np.testing.assert_array_equal(first, copy)


def test_images_need_not_be_contiguous_or_writable(jetson: Any, network: Any) -> None:
    images = random_images(3)
    images.setflags(write=False)
    reversed_images = images[:, ::-1, ::-1]
    np.testing.assert_allclose(started(network).infer(reversed_images), network.logits(reversed_images), atol=1e-5)


def test_each_batch_size_becomes_one_graph(jetson: Any, network: Any) -> None:
    engine, calls = started(network), jetson.cudart.calls
    for _ in range(5):
        for count in (1, 4, 12, 17):  # 17 is 12 and 5
            engine.infer(random_images(count))
    assert calls["cudaStreamBeginCapture"] == calls["cudaGraphInstantiate"] == calls["cudaGraphDestroy"] == 4
    assert calls["cudaGraphLaunch"] == 25 - 4  # the first call with a size is queued step by step
    engine.close()
    assert not jetson.cudart.live


@pytest.mark.parametrize("call", sorted(CAPTURING))
def test_without_graphs_it_still_runs_and_does_not_try_again(
    jetson: Any, network: Any, call: str, caplog: pytest.LogCaptureFixture
) -> None:
    engine = started(network)
    jetson.cudart.failing.add(call)
    images = random_images(2)
    for _ in range(3):
        np.testing.assert_allclose(engine.infer(images), network.logits(images), atol=1e-5)
    assert jetson.cudart.calls["cudaStreamBeginCapture"] == 1
    assert jetson.cudart.calls["cudaGetLastError"] == 1
    assert "no CUDA graph for 2 images (CUDA cannot" in caplog.text
    jetson.cudart.failing.clear()
    engine.close()
    left = {kind for kind, _ in jetson.cudart.live.values()}
    assert left == ({"graph"} if call == "cudaGraphDestroy" else set())


@pytest.mark.parametrize("call", ["cudaMalloc", "cudaHostAlloc", "cudaStreamCreateWithFlags"])
def test_a_device_without_memory_is_an_error_and_nothing_stays_allocated(jetson: Any, network: Any, call: str) -> None:
    model = stored(network)
    jetson.cudart.failing.add(call)
    with pytest.raises(EngineError, match=r"CUDA cannot .*: cudaErrorMemoryAllocation"):
        start(model, "tensorrt")
    assert jetson.cudart.calls[call]
    assert not jetson.cudart.live


@pytest.mark.parametrize("call", ["cudaMemcpyAsync", "cudaStreamSynchronize", "cudaGraphLaunch"])
def test_a_call_that_fails_while_it_runs_is_an_error(jetson: Any, network: Any, call: str) -> None:
    engine = started(network)
    engine.infer(random_images(1))
    jetson.cudart.failing.add(call)
    with pytest.raises(EngineError, match=r"^CUDA cannot .*: cudaErrorMemoryAllocation$"):
        engine.infer(random_images(1 if call == "cudaGraphLaunch" else 2))
    jetson.cudart.failing.clear()
    engine.close()
    assert not jetson.cudart.live


@pytest.mark.parametrize("call", sorted(FREEING))
def test_closing_frees_everything_that_can_be_freed(
    jetson: Any, network: Any, call: str, caplog: pytest.LogCaptureFixture
) -> None:
    engine = started(network)
    engine.infer(random_images(1))
    jetson.cudart.failing.add(call)
    engine.close()
    assert "CUDA cannot free" in caplog.text
    kinds = {"cudaFree": "device", "cudaFreeHost": "host", "cudaStreamDestroy": "stream"}
    assert {kind for kind, _ in jetson.cudart.live.values()} == {kinds.get(call, "ready")}


def test_every_cuda_call_that_we_make_is_made_to_fail_above() -> None:
    import ast
    import inspect

    from allweather.runtimes.engines.tensorrt import cuda as cuda_device

    tree = ast.parse(inspect.getsource(cuda_device))
    ours = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr.startswith("cuda")}
    called = {name for name in ours if callable(getattr(__import__("fake_cuda").FakeCudart, name, None))}
    querying = {"cudaGetDeviceCount", "cudaGetDeviceProperties", "cudaDriverGetVersion"}
    running = {"cudaMemcpyAsync", "cudaStreamSynchronize", "cudaGraphLaunch"}
    starting = {"cudaMalloc", "cudaHostAlloc", "cudaStreamCreateWithFlags"}
    assert called - {"cudaGetLastError"} == FREEING | CAPTURING | querying | running | starting


def test_every_cuda_name_that_we_use_is_in_the_real_bindings() -> None:
    import ast
    import importlib.util
    import inspect

    from allweather.runtimes.engines.tensorrt import cuda as cuda_device

    if importlib.util.find_spec("cuda") is None:
        pytest.skip("cuda-python is not installed: the names of CUDA's runtime were not checked")
    real = importlib.import_module("cuda.bindings.runtime")
    nodes = [node for node in ast.walk(ast.parse(inspect.getsource(cuda_device))) if isinstance(node, ast.Attribute)]
    names = {node.attr for node in nodes if node.attr.startswith("cuda") and ast.unparse(node.value).endswith("cudart")}
    assert len(names) > 20
    for name in sorted(names):
        assert hasattr(real, name), name
        ours = getattr(__import__("fake_cuda").FakeCudart, name)
        if callable(ours):
            signature = (inspect.getdoc(getattr(real, name)) or "").splitlines()[0]
            parameters = signature.partition("(")[2].rpartition(")")[0]
            count = len([part for part in parameters.split(",") if part])
            assert count == len(inspect.signature(ours).parameters) - 1, name


def test_a_closed_engine_stays_closed(jetson: Any, network: Any) -> None:
    engine = started(network)
    engine.infer(random_images(1))
    engine.close()
    engine.close()
    assert not jetson.cudart.live
    with pytest.raises(EngineError, match="has been closed"):
        engine.infer(random_images(1))


@pytest.mark.parametrize("shape", [(1, 9, 9, 3), (1, 8, 8, 4), (1, 3, 8, 8), (8, 8, 3), (0, 8, 8, 3), (1, 1, 8, 8, 3)])
def test_images_of_another_size_are_refused(jetson: Any, network: Any, shape: tuple[int, ...]) -> None:
    engine = started(network)
    with pytest.raises(EngineError, match="tensorrt takes uint8"):
        engine.infer(np.zeros(shape, np.uint8))
    with pytest.raises(EngineError, match="got float32"):
        engine.infer(np.zeros((1, 8, 8, 3), np.float32))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("refuses", "message"),
    [
        ("runtime", "cannot run here"),
        ("engine", "cannot load its engine.* Error Code 6: of another device; .*allweather build BUNDLE"),
    ],
)
def test_an_engine_that_the_library_refuses_is_an_error(jetson: Any, network: Any, refuses: str, message: str) -> None:
    model = stored(network)
    jetson.install(refuses=refuses)
    with pytest.raises(EngineError, match=message) as caught:
        start(model, "tensorrt")
    one_line(caught.value)
    assert not jetson.cudart.live


@pytest.mark.parametrize("refuses", ["context", "shape", "execute"])
def test_a_batch_that_the_library_refuses_is_an_error(jetson: Any, network: Any, refuses: str) -> None:
    model = stored(network)
    jetson.install(refuses=refuses)
    engine = start(model, "tensorrt")
    with pytest.raises(EngineError, match=r"2 images") as caught:
        engine.infer(random_images(2))
    one_line(caught.value)
    engine.close()
    assert not jetson.cudart.live


def test_an_engine_of_another_model_is_refused(jetson: Any, network: Any) -> None:
    model = replace(stored(network), outputs=5)  # the key covers the graph; a hostile bundle may lie about the rest
    with pytest.raises(EngineError, match="does not turn uint8"):
        start(model, "tensorrt")
    assert not jetson.cudart.live


def test_nothing_runs_that_was_not_built_here(jetson: Any, network: Any) -> None:
    with pytest.raises(NotBuiltError, match=r"not built .*allweather build BUNDLE"):
        start(compiled(network), "tensorrt")
    model = stored(network)
    start(model, "tensorrt").close()
    jetson.install("10.3.1")  # an update
    with pytest.raises(NotBuiltError):
        start(model, "tensorrt")
    jetson.install()
    (file,) = built_engines().folder.glob("*.engine")
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(EngineError, match="incomplete") as caught:
        start(model, "tensorrt")
    one_line(caught.value)


@pytest.mark.parametrize("call", ["cudaGetDeviceCount", "cudaGetDeviceProperties", "cudaDriverGetVersion"])
def test_a_machine_without_a_gpu_says_so(jetson: Any, network: Any, call: str) -> None:
    jetson.cudart.failing.add(call)
    for action in (lambda: probe("tensorrt"), lambda: start(compiled(network), "tensorrt")):
        with pytest.raises(DependencyError, match="no NVIDIA GPU was found") as caught:
            action()
        one_line(caught.value)


@pytest.mark.parametrize(("version", "fine"), [("10.3.0", True), ("10.2.9", False), ("8.6.2", False), ("x", False)])
def test_a_tensorrt_before_jetpack_6_1_is_refused(jetson: Any, version: str, fine: bool) -> None:
    jetson.install(version)
    if fine:
        assert probe("tensorrt") == version
    else:
        with pytest.raises(DependencyError, match=r"10.3 or newer is needed: update to JetPack 6.1") as caught:
            probe("tensorrt")
        one_line(caught.value)


def test_a_missing_library_is_named_with_its_install_command(monkeypatch: pytest.MonkeyPatch, jetson: Any) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", None)
    monkeypatch.setitem(sys.modules, "cuda.cudart", None)
    with pytest.raises(DependencyError, match=r"pip install 'allweather\[tensorrt\]'"):
        probe("tensorrt")
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(DependencyError, match="comes with JetPack"):
        probe("tensorrt")


def test_the_librarys_own_lines_are_for_debugging(jetson: Any, caplog: pytest.LogCaptureFixture) -> None:
    library = open_library("tensorrt")
    with caplog.at_level(logging.DEBUG, "allweather"):
        library.logger.log(library.trt.ILogger.Severity.WARNING, "one\ntwo")
    assert [record.levelname for record in caplog.records] == ["DEBUG", "DEBUG"]
    assert library.error == "the library gives no reason"
