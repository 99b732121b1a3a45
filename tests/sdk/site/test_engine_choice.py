"""A configuration may name an engine and a precision; the bundle must have a classifier for them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commands import invoke, one_line


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"engine": "tensorflow"}, "unknown engine 'tensorflow'; choose one of"),
        ({"engine": "openvino", "precision": "fp16"}, "has no classifier for openvino in fp16; it has"),
        ({"engine": "onnx", "precision": "fp16"}, "has no classifier for onnx in fp16; it has"),
    ],
)
def test_a_classifier_that_the_bundle_lacks_is_a_wrong_configuration(
    choice: dict[str, str], message: str, sample_bundle: Path, tmp_path: Path
) -> None:
    """With exit code 2 systemd does not try again and again."""
    path = tmp_path / "site.yaml"
    cameras = [{"name": "front", "source": str(tmp_path / "x.avi")}]
    path.write_text(json.dumps({"bundle": str(sample_bundle), "cameras": cameras, **choice}))
    for words in (("config", "--check", path), ("run", "--config", path)):
        done = invoke(*words)
        assert done.exit_code == 2
        assert message in one_line(done)
