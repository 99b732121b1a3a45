"""Opening a bundle's engine: the right one is chosen, its outputs are checked, and one clear error where none runs."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from endless_network import endless_network

from allweather.runtimes.bundle.bundle import Bundle, npy_bytes
from allweather.runtimes.engines import onnx, openvino
from allweather.runtimes.engines import open as opening
from allweather.runtimes.engines.open import BATCH_SIZE, infer_all, open_engine
from allweather.runtimes.engines.registry import ENGINES, exportable, install_command, statuses
from allweather.runtimes.errors import BundleError, DependencyError, EngineError, ParityError, UsageError
from allweather.runtimes.load import load
from allweather.runtimes.types import Image

CPU_ENGINES = ["onnx", "openvino"]
LIBRARIES = {"onnx": "onnxruntime"}  # where the library is not called as the engine


def one_line(error: BaseException) -> str:
    assert str(error).isprintable(), str(error)
    assert len(str(error)) < 600
    return str(error)


class StubEngine:
    """An engine whose outputs a test decides; it remembers that it was closed."""

    def __init__(self, outputs: Callable[[Image], Any]) -> None:
        self.outputs, self.closed = outputs, False

    def infer(self, images: Image) -> Any:
        return self.outputs(images)

    def close(self) -> None:
        self.closed = True


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
def test_a_missing_model_names_those_that_are_there(real_bundle: Bundle, engine: str | None, precision: str) -> None:
    with pytest.raises(EngineError, match="it has onnx fp32, onnx int8, openvino fp32") as caught:
        open_engine(real_bundle, engine, precision)
    assert precision in one_line(caught.value)


@pytest.mark.parametrize("engine", ["tpu", "", "os", "onnx.capi", "../engine_onnx"])
def test_an_unknown_engine_names_the_known_ones(real_bundle: Bundle, engine: str) -> None:
    with pytest.raises(UsageError, match=r"unknown engine .*choose one of onnx, openvino") as caught:
        open_engine(real_bundle, engine)
    assert "fake" not in one_line(caught.value)


@pytest.mark.parametrize("missing", [["openvino"], ["onnx"], ["onnx", "openvino"]])
def test_engines_that_are_not_installed_are_skipped_or_all_named(
    real_bundle: Bundle, monkeypatch: pytest.MonkeyPatch, missing: list[str]
) -> None:
    for name in missing:
        monkeypatch.setitem(sys.modules, LIBRARIES.get(name, name), None)
    reasons = {status.name: status.reason for status in statuses()}
    assert [name for name in CPU_ENGINES if reasons[name]] == missing
    if missing == CPU_ENGINES:
        with pytest.raises(EngineError) as caught:
            open_engine(real_bundle)
        for name in missing:
            assert install_command(name) in one_line(caught.value)
            assert reasons[name] in str(caught.value)
    else:
        _, model = open_engine(real_bundle)
        assert model is not None
        assert model.engine not in missing


def fails(images: Image) -> Any:
    raise EngineError("out of order")


@pytest.mark.parametrize(
    ("outputs", "error", "message"),
    [
        (lambda images: np.zeros((1, 4), np.float32), ParityError, r"differ by \d"),
        (lambda images: np.full((1, 4), np.nan, np.float32), ParityError, "differ by nan"),
        (lambda images: np.full((1, 4), -np.inf, np.float32), ParityError, "differ by inf"),
        (lambda images: np.zeros((1, 5), np.float32), BundleError, r"gives \[1, 5\] logits, not \[1, 4\]"),
        (lambda images: np.float32(1), BundleError, r"gives \[\] logits"),
        (lambda images: np.zeros((0, 4), np.float32), BundleError, r"gives \[0, 4\] logits"),
        (fails, EngineError, "out of order"),
    ],
)
def test_an_engine_with_other_outputs_is_refused_and_closed(
    real_bundle: Bundle, monkeypatch: pytest.MonkeyPatch, outputs: Any, error: type[Exception], message: str
) -> None:
    stub = StubEngine(outputs)
    monkeypatch.setattr(openvino, "start", lambda model, device: stub)
    with pytest.raises(error, match=message) as caught:
        open_engine(real_bundle, "openvino")
    one_line(caught.value)
    assert stub.closed


def test_one_nan_among_correct_outputs_is_refused(
    real_bundle: Bundle, network: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    golden = real_bundle.golden_frames()
    for index in range(len(golden)):
        logits = network.logits(golden)
        logits[index, 2] = np.nan
        rows = iter(logits)
        stub = StubEngine(lambda images, rows=rows: next(rows)[None])  # type: ignore[misc]
        monkeypatch.setattr(onnx, "start", lambda model, device, stub=stub: stub)
        with pytest.raises(ParityError, match="nan"):
            open_engine(real_bundle, "onnx")


@pytest.mark.parametrize(("offset", "fine"), [(0.0009, True), (-0.0009, True), (0.0011, False), (np.nan, False)])
def test_golden_outputs_may_differ_up_to_the_tolerance(real: Any, tmp_path: Path, offset: float, fine: bool) -> None:
    logits = np.frombuffer(real.contents["golden/logits.npy"][128:], "<f4").reshape(3, 4).copy()
    logits[1, 2] += offset
    changed = replace(real, contents={**real.contents, "golden/logits.npy": npy_bytes(logits)})
    bundle = Bundle.open(changed.write(tmp_path / "b"))
    for name in CPU_ENGINES:
        if fine:
            open_engine(bundle, name)
        else:
            with pytest.raises(ParityError, match=f"{name} .*golden outputs"):
                open_engine(bundle, name)


def test_the_message_of_a_probe_is_passed_on(real_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    def probe(device: str) -> str:
        raise DependencyError("onnx: no such processor; buy another")

    monkeypatch.setattr(onnx, "probe", probe)
    with pytest.raises(EngineError, match=r"onnx cannot run .*: onnx: no such processor; buy another$"):
        open_engine(real_bundle, "onnx")


@pytest.mark.parametrize("count", [1, BATCH_SIZE - 1, BATCH_SIZE, BATCH_SIZE + 1, 2 * BATCH_SIZE + 7])
def test_many_images_are_run_in_batches(count: int) -> None:
    sizes: list[int] = []

    def outputs(images: Image) -> Any:
        sizes.append(len(images))
        return images.reshape(len(images), -1)[:, :2].astype(np.float32)

    images = np.random.default_rng(count).integers(0, 256, (count, 2, 2, 3), np.uint8)
    np.testing.assert_array_equal(infer_all(StubEngine(outputs), images), images.reshape(count, -1)[:, :2])
    assert max(sizes) <= BATCH_SIZE


def test_every_model_of_a_bundle_has_an_engine_of_its_own_name() -> None:
    assert {spec.name for spec in ENGINES if spec.preference is not None} == set(exportable())


@pytest.mark.parametrize("seconds", [(), (1e300,)])
def test_a_model_that_never_ends_is_refused(
    real: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: tuple[float, ...]
) -> None:
    """Golden frames have a limit of their own, which the bundle cannot lift by what it claims to have measured."""
    monkeypatch.setattr(opening, "GOLDEN_SECONDS", 0.2)
    monkeypatch.setattr(opening, "START_SECONDS", 0.3)
    model = real.manifest.models[0].model_copy(update={"seconds": seconds})
    hostile = replace(
        real,
        manifest=real.manifest.model_copy(update={"models": (model,)}),
        contents={**real.contents, "model.onnx": endless_network(4, 8)},
    )
    before = threading.active_count()
    with pytest.raises(EngineError, match=r"running model\.onnx on the golden frames has not finished") as caught:
        load(hostile.write(tmp_path / "b"))
    one_line(caught.value)
    assert threading.active_count() == before


def test_an_engine_that_never_starts_is_given_up(real_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    monkeypatch.setattr(opening, "START_SECONDS", 0.1)
    monkeypatch.setattr(opening, "start_engine", lambda name, model: release.wait(20))
    with pytest.raises(EngineError, match="starting the engine onnx has not finished"):
        open_engine(real_bundle, "onnx")
    release.set()
