"""Engines: the same answers from each, the right one chosen, and one clear error where there is none."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allweather.runtimes.bundle.bundle import Bundle, npy_bytes
from allweather.runtimes.engines import engine_onnx, engine_openvino
from allweather.runtimes.engines.registry import BATCH, CompiledModel, Engine, infer_all, names, open_engine, statuses
from allweather.runtimes.errors import BundleError, DependencyError, EngineError, ParityError
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.types import Image

MODULES: dict[str, Any] = {"onnx": engine_onnx, "openvino": engine_openvino}
ENGINES = sorted(MODULES)
GPU = ["openvino_gpu", "openvino_npu", "tensorrt", "tensorrt_rtx"]  # TensorRT is tested in test_tensorrt_session.py


def compiled(network: Any, name: str, **change: bytes) -> CompiledModel:
    graph, weights = (network.onnx, b"") if name == "onnx" else (network.xml, network.bin)
    return replace(CompiledModel(graph, weights, "fp32", InputSpec(8, 8), 4), **change)


@pytest.fixture(scope="module")
def engines(network: Any) -> dict[str, Engine]:
    return {name: module.start(compiled(network, name)) for name, module in MODULES.items()}


def pictures(seed: int, count: int) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (count, 8, 8, 3), np.uint8)


def one_line(error: BaseException) -> str:
    assert str(error).isprintable(), str(error)
    assert len(str(error)) < 600
    return str(error)


@settings(deadline=None, max_examples=25)
@given(name=st.sampled_from(ENGINES), count=st.sampled_from([1, 2, 5]), seed=st.integers(0, 2**32))
def test_every_engine_agrees_with_numpy(
    network: Any, engines: dict[str, Engine], name: str, count: int, seed: int
) -> None:
    images = pictures(seed, count)
    logits = engines[name].run(images)
    assert (logits.dtype, logits.shape) == (np.float32, (count, 4))
    np.testing.assert_allclose(logits, network.answer(images), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize("second", [1, 3])
def test_an_answer_is_the_callers_to_keep(engines: dict[str, Engine], name: str, second: int) -> None:
    first = engines[name].run(pictures(1, 1))
    kept = first.copy()
    engines[name].run(pictures(2, second))
    np.testing.assert_array_equal(first, kept)
    first += 1  # and to change
    np.testing.assert_array_equal(engines[name].run(pictures(1, 1)), kept)


@pytest.mark.parametrize("name", ENGINES)
def test_pictures_that_lie_otherwise_in_memory_are_answered_alike(engines: dict[str, Engine], name: str) -> None:
    images = pictures(3, 2)
    images.setflags(write=False)
    np.testing.assert_array_equal(
        engines[name].run(images[:, ::-1, ::-1]),
        engines[name].run(np.ascontiguousarray(images[:, ::-1, ::-1])),
    )


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize("shape", [(1, 9, 9, 3), (1, 8, 8, 4), (1, 3, 8, 8), (8, 8, 3), (1, 1, 8, 8, 3), (2, 64, 3)])
def test_a_picture_of_another_size_is_refused(engines: dict[str, Engine], name: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(EngineError) as caught:
        engines[name].run(np.zeros(shape, np.uint8))
    assert name in one_line(caught.value)


@pytest.mark.parametrize("name", ENGINES)
def test_more_batch_sizes_than_are_kept_give_the_same_answers(network: Any, name: str) -> None:
    engine = MODULES[name].start(compiled(network, name))
    images = pictures(4, 12)
    for count in [*range(1, 13), 1, 12, 1]:
        np.testing.assert_allclose(engine.infer(images[:count]), network.answer(images[:count]), atol=1e-5)


@pytest.mark.parametrize("name", ENGINES)
def test_closing_twice_does_no_harm(network: Any, name: str) -> None:
    engine = MODULES[name].start(compiled(network, name))
    engine.close()
    engine.close()


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize(
    "graph", [b"", b"\0", b"garbage\n" * 9, b"<?xml", b"<?xml version='1.0'?><net/>", b"ORTM" * 9, b"\x08\x09:\0"]
)
def test_garbage_is_refused(network: Any, name: str, graph: bytes) -> None:
    with pytest.raises(EngineError) as caught:
        MODULES[name].start(compiled(network, name, graph=graph))
    assert name in one_line(caught.value)
    assert "export it again" in str(caught.value)


@pytest.mark.parametrize("name", ENGINES)
def test_a_graph_cut_anywhere_is_refused_or_runs(network: Any, name: str) -> None:
    whole = compiled(network, name)
    for length in range(0, len(whole.graph), 1 + len(whole.graph) // 60):
        try:
            MODULES[name].start(replace(whole, graph=whole.graph[:length])).run(pictures(0, 1))
        except EngineError as error:
            one_line(error)


def test_openvino_without_its_weights_is_refused(network: Any) -> None:
    with pytest.raises(EngineError, match="openvino refuses"):
        engine_openvino.start(compiled(network, "openvino", weights=b""))


def test_no_engine_reads_weights_outside_the_bundle(
    network: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnx

    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret").write_bytes(network.matrix.tobytes())
    for place in ("secret", str(tmp_path / "secret"), f"../{tmp_path.name}/secret"):
        graph = onnx.ModelProto.FromString(network.onnx)
        (tensor,) = graph.graph.initializer
        onnx.external_data_helper.set_external_data(tensor, location=place)
        tensor.ClearField("raw_data")
        for name, module in MODULES.items():
            with pytest.raises(EngineError) as caught:
                module.start(compiled(network, name, graph=graph.SerializeToString(), weights=b""))
            assert "another file" in one_line(caught.value) or "no OpenVINO IR" in str(caught.value)


def test_openvino_comes_first_then_what_the_bundle_prefers(real_bundle: Bundle) -> None:
    def chosen(engine: str | None, precision: str | None) -> tuple[str, str]:
        running, model = open_engine(real_bundle, engine, precision)
        assert model is not None
        assert model.engine in type(running).__module__
        return model.engine, model.precision

    assert chosen(None, None) == ("openvino", "fp32")
    assert chosen("onnx", None) == ("onnx", "fp32")
    assert chosen("onnx", "fp32") == ("onnx", "fp32")
    assert chosen(None, "int8") == ("onnx", "int8")
    assert chosen("openvino", "fp32") == ("openvino", "fp32")


@pytest.mark.parametrize(("engine", "precision"), [("openvino", "int8"), (None, "fp16"), ("onnx", "bf16")])
def test_a_model_that_is_not_there_names_those_that_are(
    real_bundle: Bundle, engine: str | None, precision: str
) -> None:
    with pytest.raises(EngineError, match="it has onnx fp32, onnx int8, openvino fp32: choose one") as caught:
        open_engine(real_bundle, engine, precision)
    assert precision in one_line(caught.value)


@pytest.mark.parametrize("engine", ["tpu", "", "os", "onnx.capi", "../engine_onnx"])
def test_an_unknown_engine_names_the_known_ones(real_bundle: Bundle, engine: str) -> None:
    with pytest.raises(EngineError, match=r"unknown engine .*choose one of onnx, openvino"):
        open_engine(real_bundle, engine)


@pytest.mark.parametrize("missing", [["openvino"], ["onnx"], ["onnx", "openvino"]])
def test_engines_that_are_not_installed_are_passed_over_or_all_named(
    real_bundle: Bundle, monkeypatch: pytest.MonkeyPatch, missing: list[str]
) -> None:
    for name in (*missing, *GPU):
        monkeypatch.setitem(sys.modules, {"onnx": "onnxruntime"}.get(name, name), None)
    found = {status.name: status for status in statuses()}
    assert [name for name in names() if found[name].version is None and name not in GPU] == missing
    if len(missing) == len(ENGINES):
        with pytest.raises(EngineError) as caught:
            open_engine(real_bundle)
        for name in missing:
            assert f"pip install 'allweather[{name}]'" in one_line(caught.value)
            assert found[name].reason in str(caught.value)
    else:
        _, model = open_engine(real_bundle)
        assert model is not None
        assert model.engine not in missing


def test_every_engine_tells_its_version_or_its_cure() -> None:
    found = {status.name: status for status in statuses()}
    assert set(found) == {"fake", *ENGINES, *GPU}
    assert all(found[name].version and not found[name].reason for name in ("fake", *ENGINES))
    assert all(bool(found[name].version) != bool(found[name].reason) for name in GPU)


class Odd:
    """An engine that answers as it is told, and remembers that it was closed."""

    def __init__(self, answer: Callable[[Image], Any]) -> None:
        self.answer, self.closed = answer, False

    def infer(self, images: Image) -> Any:
        return self.answer(images)

    def close(self) -> None:
        self.closed = True


def fails(images: Image) -> Any:
    raise EngineError("out of order")


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (lambda images: np.zeros((1, 4), np.float32), ParityError, "off by"),
        (lambda images: np.full((1, 4), np.nan, np.float32), ParityError, "off by nan"),
        (lambda images: np.full((1, 4), -np.inf, np.float32), ParityError, "off by inf"),
        (lambda images: np.zeros((1, 5), np.float32), BundleError, r"gives \[1, 5\] logits, not \[1, 4\]"),
        (lambda images: np.float32(1), BundleError, r"gives \[\] logits"),
        (lambda images: np.zeros((0, 4), np.float32), BundleError, r"gives \[0, 4\] logits"),
        (fails, EngineError, "out of order"),
    ],
)
def test_an_engine_that_answers_otherwise_is_refused_and_closed(
    real_bundle: Bundle, monkeypatch: pytest.MonkeyPatch, answer: Any, error: type[Exception], message: str
) -> None:
    odd = Odd(answer)
    monkeypatch.setattr(engine_openvino, "start", lambda network: odd)
    with pytest.raises(error, match=message) as caught:
        open_engine(real_bundle, "openvino")
    one_line(caught.value)
    assert odd.closed


def test_one_nan_among_good_answers_is_refused(
    real_bundle: Bundle, network: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    golden = real_bundle.golden_frames()
    for bad in range(len(golden)):
        answers = network.answer(golden)
        answers[bad, 2] = np.nan
        given = iter(answers)
        odd = Odd(lambda images, given=given: next(given)[None])  # type: ignore[misc]
        monkeypatch.setattr(engine_onnx, "start", lambda network, odd=odd: odd)
        with pytest.raises(ParityError, match="nan"):
            open_engine(real_bundle, "onnx")


@pytest.mark.parametrize(("off", "right"), [(0.0009, True), (-0.0009, True), (0.0011, False), (np.nan, False)])
def test_golden_logits_count_up_to_the_tolerance(real: Any, tmp_path: Path, off: float, right: bool) -> None:
    logits = np.frombuffer(real.contents["golden/logits.npy"][128:], "<f4").reshape(3, 4).copy()
    logits[1, 2] += off
    made = replace(real, contents={**real.contents, "golden/logits.npy": npy_bytes(logits)})
    bundle = Bundle.open(made.write(tmp_path / "b"))
    for name in ENGINES:
        if right:
            open_engine(bundle, name)
        else:
            with pytest.raises(ParityError, match=f"{name} .* answers the bundle's golden frames differently"):
                open_engine(bundle, name)


def test_a_probe_that_fails_is_told_as_it_is(real_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    def probe() -> str:
        raise DependencyError("onnx: no such processor; buy another")

    monkeypatch.setattr(engine_onnx, "probe", probe)
    with pytest.raises(
        EngineError,
        match=r"onnx cannot run .* choose another: onnx: no such processor; buy another$",
    ):
        open_engine(real_bundle, "onnx")


@pytest.mark.parametrize("count", [1, BATCH - 1, BATCH, BATCH + 1, 2 * BATCH + 7])
def test_answers_in_batches_are_the_answers(count: int) -> None:
    sizes: list[int] = []

    def answer(images: Image) -> Any:
        sizes.append(len(images))
        return images.reshape(len(images), -1)[:, :2].astype(np.float32)

    images = np.random.default_rng(count).integers(0, 256, (count, 2, 2, 3), np.uint8)
    np.testing.assert_array_equal(infer_all(Odd(answer), images), images.reshape(count, -1)[:, :2])
    assert max(sizes) <= BATCH
