"""The table of engines: complete, free of contradictions, light to import, and honest about what is missing."""

from __future__ import annotations

import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from allweather.runtimes.choices import EngineName, Precision, TensorRTVariant
from allweather.runtimes.engines.registry import (
    ENGINES,
    engine_names,
    engine_spec,
    exportable,
    install_command,
    precisions,
    statuses,
)
from allweather.runtimes.errors import UsageError

ROOT = Path(__file__).parents[3]
GPU_ENGINES = {"openvino_gpu", "openvino_npu", "tensorrt", "tensorrt_rtx"}


@pytest.mark.parametrize("spec", ENGINES, ids=lambda spec: spec.name)
def test_every_row_names_a_module_with_both_functions(spec: object) -> None:
    module = importlib.import_module(spec.module)  # type: ignore[attr-defined]
    assert len(inspect.signature(module.probe).parameters) == 1
    assert len(inspect.signature(module.start).parameters) == 2


def test_models_are_exported_for_the_engines_that_a_manifest_can_name() -> None:
    assert set(exportable()) == set(get_args(EngineName))
    assert {precision for engine in exportable() for precision in precisions(engine)} == set(get_args(Precision))
    assert {spec.name for spec in ENGINES if spec.runs == "tensorrt"} == set(get_args(TensorRTVariant))
    for spec in ENGINES:
        assert spec.runs in (None, *exportable())
        assert bool(spec.precisions) == (spec.preference is not None) == (spec.name == spec.runs)


def test_names_and_preferences_are_used_once() -> None:
    names = [spec.name for spec in ENGINES]
    ranks = [spec.preference for spec in ENGINES if spec.preference is not None]
    assert len(set(names)) == len(names)
    assert len(set(ranks)) == len(ranks)


def test_the_engine_for_tests_is_not_offered_but_can_be_named() -> None:
    assert engine_names() == tuple(sorted({spec.name for spec in ENGINES} - {"fake"}))
    assert engine_spec("fake").runs is None


def test_every_extra_is_one_of_the_package() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    extras = text[text.index("[project.optional-dependencies]") : text.index("[project.scripts]")]
    for spec in ENGINES:
        if spec.extra:
            assert re.search(rf"^{spec.extra} = \[", extras, re.MULTILINE), spec
            assert install_command(spec.name) == f"pip install 'allweather[{spec.extra}]'"


def test_every_engine_tells_its_version_or_how_to_get_it() -> None:
    found = {status.name: status for status in statuses()}
    assert list(found) == sorted(spec.name for spec in ENGINES)
    assert all(bool(status.version) != bool(status.reason) for status in found.values())
    assert all(found[name].version for name in found if name not in GPU_ENGINES)


@pytest.mark.parametrize("name", ["", "tpu", "OPENVINO", "a\nb", "x" * 500])
def test_an_unknown_name_is_one_short_line_with_the_known_ones(name: str) -> None:
    with pytest.raises(UsageError, match=r"unknown engine .*; choose one of onnx, .*tensorrt_rtx") as caught:
        engine_spec(name)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300


def test_the_table_can_be_read_without_any_library() -> None:
    code = (
        "import sys; from allweather.runtimes.engines.registry import engine_names, exportable, precisions; "
        "engine_names(), precisions(exportable()[0]); "
        "heavy = ('numpy', 'cv2', 'pydantic', 'onnxruntime', 'openvino', 'torch'); "
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
