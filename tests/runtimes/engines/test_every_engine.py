"""What every engine has to do: outputs as numpy computes them, new arrays, clear errors, no other files read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allweather.runtimes.engines.base import CompiledModel, Engine
from allweather.runtimes.engines.registry import start_engine
from allweather.runtimes.errors import EngineError
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.types import Image

ENGINES = ["onnx", "openvino"]  # TensorRT, which needs a GPU, has tests of its own on a fake one


def compiled(network: Any, name: str, **change: bytes) -> CompiledModel:
    graph, weights = (network.onnx, b"") if name == "onnx" else (network.xml, network.bin)
    return replace(CompiledModel(graph, weights, "fp32", InputSpec(8, 8), 4), **change)


def random_images(seed: int, count: int) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (count, 8, 8, 3), np.uint8)


def one_line(error: BaseException) -> str:
    assert str(error).isprintable(), str(error)
    assert len(str(error)) < 600
    return str(error)


@pytest.fixture(scope="module")
def engines(network: Any) -> dict[str, Engine]:
    return {name: start_engine(name, compiled(network, name)) for name in ENGINES}


@settings(deadline=None, max_examples=25)
@given(name=st.sampled_from(ENGINES), count=st.sampled_from([1, 2, 5]), seed=st.integers(0, 2**32))
@pytest.mark.slow
def test_it_agrees_with_numpy(network: Any, engines: dict[str, Engine], name: str, count: int, seed: int) -> None:
    images = random_images(seed, count)
    logits = engines[name].infer(images)
    assert (logits.dtype, logits.shape) == (np.float32, (count, 4))
    np.testing.assert_allclose(logits, network.logits(images), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize("second", [1, 3])
def test_the_caller_may_keep_and_change_the_outputs(engines: dict[str, Engine], name: str, second: int) -> None:
    first = engines[name].infer(random_images(1, 1))
    copy = first.copy()
    engines[name].infer(random_images(2, second))
    np.testing.assert_array_equal(first, copy)
    first += 1
    np.testing.assert_array_equal(engines[name].infer(random_images(1, 1)), copy)


@pytest.mark.parametrize("name", ENGINES)
def test_images_need_not_be_contiguous_or_writable(engines: dict[str, Engine], name: str) -> None:
    images = random_images(3, 2)
    images.setflags(write=False)
    np.testing.assert_array_equal(
        engines[name].infer(images[:, ::-1, ::-1]),
        engines[name].infer(np.ascontiguousarray(images[:, ::-1, ::-1])),
    )


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize("shape", [(1, 9, 9, 3), (1, 8, 8, 4), (1, 3, 8, 8), (8, 8, 3), (1, 1, 8, 8, 3), (2, 64, 3)])
def test_images_of_another_size_are_refused(engines: dict[str, Engine], name: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(EngineError) as caught:
        engines[name].infer(np.zeros(shape, np.uint8))
    assert name in one_line(caught.value)


@pytest.mark.parametrize("name", ENGINES)
def test_batches_of_changing_size_give_the_same_outputs(network: Any, name: str) -> None:
    engine = start_engine(name, compiled(network, name))
    images = random_images(4, 12)
    for count in [*range(1, 13), 1, 12, 1]:
        np.testing.assert_allclose(engine.infer(images[:count]), network.logits(images[:count]), atol=1e-5)


@pytest.mark.parametrize("name", ENGINES)
def test_it_can_be_closed_twice(network: Any, name: str) -> None:
    engine = start_engine(name, compiled(network, name))
    engine.close()
    engine.close()


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize(
    "graph", [b"", b"\0", b"garbage\n" * 9, b"<?xml", b"<?xml version='1.0'?><net/>", b"ORTM" * 9, b"\x08\x09:\0"]
)
def test_garbage_is_refused(network: Any, name: str, graph: bytes) -> None:
    with pytest.raises(EngineError) as caught:
        start_engine(name, compiled(network, name, graph=graph))
    assert name in one_line(caught.value)
    assert "export it again" in str(caught.value)


@pytest.mark.parametrize("name", ENGINES)
def test_a_graph_cut_anywhere_is_refused_or_runs(network: Any, name: str) -> None:
    model = compiled(network, name)
    for length in range(0, len(model.graph), 1 + len(model.graph) // 60):
        try:
            start_engine(name, replace(model, graph=model.graph[:length])).infer(random_images(0, 1))
        except EngineError as error:
            one_line(error)


def test_openvino_without_its_weights_is_refused(network: Any) -> None:
    with pytest.raises(EngineError, match="openvino cannot load"):
        start_engine("openvino", compiled(network, "openvino", weights=b""))


@pytest.mark.parametrize("name", ENGINES)
def test_it_reads_no_weights_outside_the_bundle(
    network: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    import onnx

    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret").write_bytes(network.matrix.tobytes())
    for location in ("secret", str(tmp_path / "secret"), f"../{tmp_path.name}/secret"):
        graph = onnx.ModelProto.FromString(network.onnx)
        (tensor,) = graph.graph.initializer
        onnx.external_data_helper.set_external_data(tensor, location=location)
        tensor.ClearField("raw_data")
        with pytest.raises(EngineError) as caught:
            start_engine(name, compiled(network, name, graph=graph.SerializeToString(), weights=b""))
        assert "another file" in one_line(caught.value) or "not OpenVINO IR" in str(caught.value)
