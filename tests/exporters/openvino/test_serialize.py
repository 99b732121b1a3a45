"""OpenVINO serializes to files only, in a folder that may be full."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path

import onnx
import pytest
from onnx_graphs import Form, build

from allweather.exporters.openvino.convert import read_onnx, serialize
from allweather.runtimes.errors import OutputError


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file can have more than 2000 bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("small_files")
def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    graph: onnx.ModelProto = build(Form())
    with pytest.raises(OutputError, match=r"cannot write the temporary files .*; free some space .* variable TMPDIR"):
        serialize(read_onnx(graph.SerializeToString()))
    assert not list(tmp_path.glob("*"))
