"""Engines of other packages: an installed one is used like allweather's own, and a broken one harms nobody."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from allweather.runtimes.engines import registry
from allweather.runtimes.engines.base import CompiledModel
from allweather.runtimes.engines.registry import ENGINES, engine_names, engine_spec, exportable, start_engine, statuses
from allweather.runtimes.engines.third_party import find_third_party_engines
from allweather.runtimes.errors import EngineError, UsageError
from allweather.runtimes.preprocess import InputSpec

SPEC = "from allweather.runtimes.engines import EngineSpec\n"
GOOD = SPEC + 'SPEC = EngineSpec("shadow", "shadow_engine", runs="onnx")\n'
SHADOW = """
import numpy
import onnxruntime

def probe(device):
    return f"shadow on {device} of " + onnxruntime.__version__

def start(model, device):
    return Shadow(model.graph)

class Shadow:
    def __init__(self, graph):
        self.session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])

    def infer(self, images):
        (logits,) = self.session.run(None, {"images": numpy.ascontiguousarray(images)})
        return logits

    def close(self):
        self.session = None
"""


def install(
    folder: Path, entry_points: str | bytes, name: str = "their-package", version: str = "1.5", **files: str
) -> Path:
    """Installs a package as pip does: its modules, and a .dist-info folder with its metadata."""
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    text = f"[allweather.engines]\n{entry_points}\n".encode() if isinstance(entry_points, str) else entry_points
    (info / "entry_points.txt").write_bytes(text)
    for module, code in files.items():
        (folder / f"{module}.py").write_text(code)
    return folder


@pytest.fixture(scope="module")
def shadow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("installed")
    return install(folder, "shadow = shadow_spec:SPEC", shadow_spec=GOOD, shadow_engine=SHADOW)


def python(shadow: Path, *arguments: object) -> str:
    """Output of a Python that has the package."""
    environment = {**os.environ, "PYTHONPATH": str(shadow)}
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_doctor_lists_an_installed_engine(shadow: Path) -> None:
    checks = json.loads(python(shadow, "-m", "allweather.cli", "doctor", "--json"))["checks"]
    (found,) = [check for check in checks if check["name"] == "engine shadow"]
    assert found["works"]
    assert found["text"].startswith("shadow on CPU of ")


@pytest.mark.slow
def test_an_installed_engine_runs_a_bundle(shadow: Path, sample_bundle: Path) -> None:
    code = (
        "import sys, numpy, allweather\n"
        "frame = numpy.random.default_rng(0).integers(0, 256, (60, 80, 3), numpy.uint8)\n"
        "for engine in ('onnx', 'shadow'):\n"
        "    with allweather.load(sys.argv[1], engine=engine, policy='top:2') as perceiver:\n"
        "        decision = perceiver(frame)\n"
        "        print(decision.label, f'{decision.confidence:.4f}', len(decision.views))\n"
    )
    first, second = python(shadow, "-c", code, sample_bundle).splitlines()
    assert first == second


@pytest.mark.slow
def test_the_commands_take_the_name_of_an_installed_engine(shadow: Path, sample_bundle: Path, tmp_path: Path) -> None:
    for index in range(3):
        cv2.imwrite(str(tmp_path / f"{index}.png"), np.full((40, 40, 3), 60 * index, np.uint8))
    engine = ("--engine", "shadow", "--json")
    run = json.loads(python(shadow, "-m", "allweather.cli", "run", sample_bundle, "--source", tmp_path, *engine))
    assert run["decided"] == 3
    python(shadow, "-m", "allweather.cli", "bench", sample_bundle, "--frames", 2, *engine)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of installed packages that this process sees."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    registry._third_party.cache_clear()
    before = set(sys.modules)
    yield folder
    registry._third_party.cache_clear()
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(folder)):
            del sys.modules[name]


def spec(**fields: object) -> str:
    named = {"name": "shadow", "module": "shadow_engine", "runs": "onnx", **fields}
    return SPEC + f"SPEC = EngineSpec({', '.join(f'{name}={value!r}' for name, value in named.items())})\n"


def test_a_module_may_hold_the_spec_and_no_library_is_imported_for_the_names(site: Path) -> None:
    install(site, "shadow = shadow_spec", shadow_spec=GOOD, shadow_engine="raise AssertionError('imported')")
    assert "shadow" in engine_names()
    assert engine_spec("shadow").runs == "onnx"
    assert "shadow_engine" not in sys.modules


def test_engines_of_allweather_do_not_search_other_packages(site: Path) -> None:
    install(site, "shadow = shadow_spec", shadow_spec="raise AssertionError('imported')")
    assert engine_spec("onnx").name == "onnx"
    assert "shadow_spec" not in sys.modules


@pytest.mark.parametrize(
    ("entry", "code", "reason"),
    [
        ("shadow = shadow_spec:SPEC", "import no_such_library", "no_such_library"),
        ("shadow = shadow_spec:SPEC", "raise RuntimeError('not\\nlicensed')", r"\(not\)"),
        ("shadow = shadow_spec:SPEC", "raise KeyError", r"\(KeyError\)"),
        ("shadow = shadow_spec:OTHER", GOOD, "OTHER"),
        ("shadow = nowhere:SPEC", GOOD, "nowhere"),
        ("shadow = not python", GOOD, "not python cannot be imported"),
        ("shadow = shadow_spec:SPEC", "SPEC = 'shadow'", "type str, not an EngineSpec"),
        ("shadow = shadow_spec:SPEC", SPEC + "SPEC = EngineSpec()", "cannot be imported .*missing"),
        ("shadow = shadow_spec", "", "holds 0 EngineSpec"),
        ("shadow = shadow_spec", GOOD + GOOD.replace("SPEC =", "SECOND ="), "holds 2 EngineSpec"),
        ("other = shadow_spec:SPEC", GOOD, "named 'shadow', .*name of the entry point"),
        ("Shadow = shadow_spec:SPEC", spec(name="Shadow"), "lower-case letter"),
        ("shadow = shadow_spec:SPEC", spec(module="../engine"), r"full name of a module, not '../engine'"),
        ("shadow = shadow_spec:SPEC", spec(module=None), "module of an engine must be text; got None"),
        ("shadow = shadow_spec:SPEC", spec(device=None), "device of an engine must be text; got None"),
        ("shadow = shadow_spec:SPEC", spec(runs=None), "must run the models of openvino, onnx, tensorrt, not of None"),
        ("shadow = shadow_spec:SPEC", spec(runs="torch"), "not of 'torch'"),
        ("shadow = shadow_spec:SPEC", spec(runs=["onnx"]), "runs of an engine must be text; got"),
        ("shadow = shadow_spec:SPEC", spec(precisions=("int8",)), "only engines of allweather"),
        ("shadow = shadow_spec:SPEC", spec(preference=True), "must be a whole number or None; got True"),
        ("shadow = shadow_spec:SPEC", spec(precisions="int8"), "must be a tuple of texts; got 'int8'"),
        ("shadow = shadow_spec:SPEC", spec(preference=0), "only engines of allweather"),
        ("onnx = shadow_spec:SPEC", spec(name="onnx"), "name is taken"),
        ("fake = shadow_spec:SPEC", spec(name="fake"), "name is taken"),
    ],
)
def test_a_broken_entry_is_a_warning_that_names_its_package(
    site: Path, caplog: pytest.LogCaptureFixture, entry: str, code: str, reason: str
) -> None:
    install(site, entry, shadow_spec=code)
    caplog.set_level(logging.WARNING)
    assert engine_names() == tuple(sorted(spec.name for spec in ENGINES if spec.runs))
    (record,) = caplog.records
    message = record.getMessage()
    assert message.isprintable()
    assert "their-package 1.5" in message
    caplog.clear()
    name = entry.partition(" ")[0]
    if name in ("onnx", "fake"):
        assert engine_spec(name) in ENGINES
        assert len([status for status in statuses() if status.name == name]) == 1
    else:
        (status,) = [status for status in statuses() if status.name == name]
        assert status.version is None
        with pytest.raises(UsageError, match=f"unknown engine '{name}'.*their-package 1.5.*{reason}") as caught:
            engine_spec(name)
        assert str(caught.value).isprintable()
    assert re.search(reason, message)
    assert not caplog.records  # the warning comes once


@pytest.mark.parametrize(
    "text", [b"[allweather.engines]\nno equals sign", b"[allweather.engines]\n\xff = \xfe", b"[x]"]
)
def test_damaged_metadata_harms_nobody(site: Path, caplog: pytest.LogCaptureFixture, text: bytes) -> None:
    install(site, text, name="damaged")
    install(site, "shadow = shadow_spec:SPEC", shadow_spec=GOOD)
    assert "shadow" in engine_names()
    assert all("damaged" in record.getMessage() for record in caplog.records)
    assert len(caplog.records) == (text != b"[x]")


def test_of_two_packages_with_one_name_the_first_is_used(site: Path, caplog: pytest.LogCaptureFixture) -> None:
    install(site, "shadow = shadow_spec:SPEC", shadow_spec=GOOD)
    install(site, "shadow = second_spec:SPEC", name="second", second_spec=spec(device="NPU"))
    found = find_third_party_engines(("onnx",), exportable())
    assert list(found.specs) == ["shadow"]
    assert not found.faults
    assert "name is taken" in caplog.text


def test_a_package_that_is_installed_twice_counts_once(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    install(tmp_path / "older", "shadow = shadow_spec:SPEC", name="Their_Package", version="1.0")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "older")])
    install(site, "shadow = shadow_spec:SPEC", shadow_spec=GOOD)
    assert "shadow" in engine_names()
    assert not caplog.records


@pytest.mark.parametrize(
    "code",
    [
        "",
        "import no_such_library",
        "def probe(device):\n    raise RuntimeError('lost')\nstart = probe",
        "raise SystemError",
    ],
)
def test_an_engine_that_fails_in_its_own_way_is_one_clear_error(site: Path, code: str) -> None:
    install(site, "shadow = shadow_spec:SPEC", shadow_spec=GOOD, shadow_engine=code)
    (status,) = [status for status in statuses() if status.name == "shadow"]
    assert status.version is None
    assert status.reason.startswith("shadow: ")
    with pytest.raises(EngineError, match="engine shadow cannot load the model"):
        start_engine("shadow", CompiledModel(b"", b"", "fp32", InputSpec(8, 8), 4))


def test_an_engine_of_another_package_opens_the_onnx_model(site: Path, real_bundle: Any, network: Any) -> None:
    from allweather.runtimes.engines.open import open_engine

    install(site, "shadow = shadow_spec:SPEC", shadow_spec=GOOD, shadow_engine=SHADOW)
    engine, model = open_engine(real_bundle, "shadow", "fp32")
    assert model is not None
    assert (model.engine, model.precision) == ("onnx", "fp32")
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), np.uint8)
    np.testing.assert_allclose(engine.infer(images), network.logits(images), atol=1e-5)
    with pytest.raises(EngineError, match="no classifier for shadow in bf16"):
        open_engine(real_bundle, "shadow", "bf16")
