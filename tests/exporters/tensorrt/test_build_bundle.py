"""A bundle with TensorRT models: a command builds each engine once, and other engines run the bundle until then."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from color_network import color_network
from typer.testing import CliRunner, Result

from allweather import load
from allweather.cli.app import app
from allweather.exporters.tensorrt.build_bundle import build_engines
from allweather.runtimes.bundle.bundle import Bundle, npy_bytes, write_bundle
from allweather.runtimes.bundle.manifest import Input, Manifest, Model, Parity
from allweather.runtimes.engines.open import open_engine
from allweather.runtimes.engines.tensorrt.cache import BuiltEngines, EngineKey, built_engines
from allweather.runtimes.errors import EngineError, NotBuiltError, OutputError

PARITY = Parity(
    images=4, largest_logit_difference=0, mean_logit_difference=0, agreement=1, accuracy=1, reference_accuracy=1
)


def model(engine: str, precision: str) -> Model:
    return Model.model_validate(
        {
            "role": "classifier", "engine": engine, "precision": precision, "file": "model.onnx",
            "golden": "golden/logits.npy", "tolerance": 0.001, "seconds": (), "parity": PARITY,
        }
    )  # fmt: skip


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """Mean color times a matrix, for ONNX Runtime and, in two precisions by name, for TensorRT."""
    matrix = np.random.default_rng(5).normal(0, 0.01, (3, 4)).astype(np.float32)
    frames = np.random.default_rng(6).integers(0, 256, (3, 8, 8, 3), np.uint8)
    logits = (frames.astype(np.float64).mean(axis=(1, 2)) @ matrix).astype(np.float32)
    models = (model("onnx", "fp32"), model("tensorrt", "fp16"), model("tensorrt", "int8"))
    manifest = Manifest(
        arch="tiny", classes=("clear", "rain", "fog", "snow"), views=("identity",), models=models,
        input=Input(height=8, width=8, mean=(0.5, 0.5, 0.5), std=(0.25, 0.5, 1)), golden_frames="golden/frames.npy",
        golden_count=3, calibration=None, machine="a test", versions={}, files={},
    )  # fmt: skip
    contents = {
        "golden/frames.npy": npy_bytes(frames),
        "golden/logits.npy": npy_bytes(logits),
        "model.onnx": color_network(matrix),
    }
    write_bundle(tmp_path / "bundle.aw", manifest, contents)
    return Bundle.open(tmp_path / "bundle.aw")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, list(map(str, arguments)))


def test_an_engine_is_built_once_and_runs(jetson: Any, bundle: Bundle) -> None:
    shares: list[float] = []
    first = build_engines(bundle, "tensorrt", lambda share, step: shares.append(share))
    assert [(one.precision, one.seconds > 0) for one in first] == [("fp16", True), ("int8", True)]
    assert all(0 <= share <= 1 for share in shares)
    again = build_engines(bundle, "tensorrt")
    assert [(one.key, one.seconds) for one in again] == [(one.key, 0.0) for one in first]
    for precision, expected in ((None, "fp16"), ("int8", "int8")):
        running, chosen = open_engine(bundle, None, precision)  # the GPU comes first where it is built
        assert chosen is not None
        assert (chosen.engine, chosen.precision) == ("tensorrt", expected)
        running.close()
    assert not jetson.cudart.live


def test_a_perceiver_decides_with_a_built_engine(jetson: Any, bundle: Bundle) -> None:
    build_engines(bundle, "tensorrt")
    with load(bundle.path, engine="tensorrt") as perceiver, load(bundle.path, engine="onnx") as other:
        frame = np.random.default_rng(1).integers(0, 256, (20, 30, 3), np.uint8)
        assert perceiver(frame).label == other(frame).label


def test_without_a_built_engine_another_one_runs_with_one_warning_unless_it_is_requested(
    jetson: Any, bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(NotBuiltError, match="allweather build BUNDLE"):
        open_engine(bundle, "tensorrt")
    _, chosen = open_engine(bundle)
    assert chosen is not None
    assert chosen.engine == "onnx"
    (warning,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert "allweather build BUNDLE" in warning.getMessage()
    with pytest.raises(EngineError, match=r"no engine here can run .*not built for this device yet"):
        open_engine(bundle, None, "fp16")


def test_a_damaged_engine_is_refused_and_built_again(
    jetson: Any, bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    build_engines(bundle, "tensorrt")
    for file in built_engines().folder.glob("*.engine"):
        file.write_bytes(file.read_bytes() + b"!")
    with pytest.raises(EngineError, match="was changed, is incomplete or was built for another"):
        open_engine(bundle)
    assert all(one.seconds > 0 for one in build_engines(bundle, "tensorrt"))
    assert "building it again" in caplog.text
    open_engine(bundle, "tensorrt")[0].close()


def test_a_bundle_without_such_a_model_says_how_to_get_one(jetson: Any, bundle: Bundle, tmp_path: Path) -> None:
    manifest = bundle.manifest.model_copy(update={"models": bundle.manifest.models[:1]})
    contents = {name: bundle.read(name) for name in bundle.manifest.files}
    write_bundle(tmp_path / "other.aw", manifest, contents)
    with pytest.raises(EngineError, match="has no model for TensorRT; export it with --engine tensorrt"):
        build_engines(Bundle.open(tmp_path / "other.aw"), "tensorrt")


def test_a_cache_that_cannot_be_written_to_says_where_to_choose_another(
    jetson: Any, bundle: Bundle, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(OutputError, match="XDG_CACHE_HOME") as caught:
        build_engines(bundle, "tensorrt")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("fault", ["link", "folder", "open to all", "not stored"])
def test_measurements_that_cannot_be_kept_or_read_do_not_end_a_build(
    jetson: Any, bundle: Bundle, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    build_engines(bundle, "tensorrt")
    folder = built_engines().folder
    for entry in folder.glob("*.engine"):
        entry.unlink()
    (timings,) = folder.glob("timings-*.cache")
    if fault == "not stored":

        def full(self: BuiltEngines, key: EngineKey, timing_cache: bytes) -> None:
            raise OutputError("the disk is full")

        monkeypatch.setattr(BuiltEngines, "store_timing_cache", full)
    elif fault == "open to all":
        timings.chmod(0o666)
    else:
        timings.unlink()
        timings.symlink_to("elsewhere") if fault == "link" else timings.mkdir()
    assert all(one.seconds > 0 for one in build_engines(bundle, "tensorrt"))
    assert all(one.seconds == 0 for one in build_engines(bundle, "tensorrt"))
    assert "takes longer" in caplog.text


@pytest.mark.slow
def test_the_command(jetson: Any, bundle: Bundle) -> None:
    done = run("build", bundle.path, "--json")
    assert done.exit_code == 0, done.stderr
    output = json.loads(done.stdout)
    assert (output["gpu"], output["cuda"], output["version"]) == ("Fake Orin", "12.6", "10.3.0")
    assert [one["precision"] for one in output["models"]] == ["fp16", "int8"]
    assert "int8: built in" in done.stderr
    again = run("build", bundle.path)
    assert again.exit_code == 0
    assert again.stderr.count("was built already") == 2
    assert not jetson.cudart.live


@pytest.mark.parametrize("engine", ["tensorrt", "tensorrt_rtx"])
def test_a_machine_that_cannot_build_says_so_in_one_line(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, engine, None)
    done = run("build", bundle.path, "--engine", engine)
    assert done.exit_code == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert "nothing to build with" in done.stderr


def test_an_engine_with_other_golden_outputs_is_an_error(jetson: Any, bundle: Bundle, tmp_path: Path) -> None:
    contents = {name: bundle.read(name) for name in bundle.manifest.files}
    contents["golden/logits.npy"] = npy_bytes(np.ones((3, 4), np.float32))
    write_bundle(tmp_path / "wrong.aw", bundle.manifest, contents)
    done = run("build", tmp_path / "wrong.aw")
    assert done.exit_code == 1
    assert "does not give the bundle's golden outputs" in done.stderr
