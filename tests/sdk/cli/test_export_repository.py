"""allweather export BUNDLE --layout."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from allweather.cli.app import app
from allweather.runtimes.bundle.bundle import Bundle


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["export", *map(str, arguments)])


@pytest.mark.parametrize(("layout", "engine"), [("triton", "onnx"), ("ovms", "openvino")])
def test_a_bundle_becomes_a_repository(layout: str, engine: str, sample_bundle: Path, tmp_path: Path) -> None:
    done = run(sample_bundle, "--layout", layout, "--out", tmp_path / "models", "--json")
    assert done.exit_code == 0, done.stderr
    preferred = next(model for model in Bundle.open(sample_bundle).manifest.models if model.engine == engine)
    assert json.loads(done.stdout) == {
        "repository": str(tmp_path / "models"), "layout": layout, "version": 1,
        "classifier": f"{engine} {preferred.precision}", "predictor": f"{engine} fp32",
    }  # fmt: skip
    again = run(
        sample_bundle, "--layout", layout, "--out", tmp_path / "models", "--engine", "onnx", "--precision", "fp32"
    )
    assert again.exit_code == 0, again.stderr
    assert "onnx fp32" in again.stdout
    assert "docs/serving.md" in again.stderr
    assert (tmp_path / "models" / "classifier" / "2" / "model.onnx").is_file()


BAD = [
    ("{bundle} --out {tmp}/x", 2, "is a bundle already; add --layout triton or ovms, or name a checkpoint"),
    ("{plain} --layout triton --out {tmp}/x", 2, "--layout takes a bundle; export {plain} without it first"),
    ("{bundle} --layout triton --data signs --out {tmp}/x", 2, "needs no --data; leave it out"),
    ("{bundle} --layout triton --force --out {tmp}/x", 2, "needs no --force; leave it out"),
    ("{bundle} --layout triton --download --out {tmp}/x", 2, "needs no --download; leave it out"),
    ("{bundle} --layout ovms --engine onnx --engine openvino --out {tmp}/x", 2, "give --engine and --precision once"),
    ("{bundle} --layout triton --out {tmp}/x.zip", 2, "--layout writes a folder, as servers read one"),
    ("{bundle} --layout triton --engine openvino --out {tmp}/x", 1, "triton serves models for onnx; "),
    ("{tmp}/none.aw --layout triton --out {tmp}/x", 1, "no bundle at {tmp}/none.aw"),
    ("{tmp} --layout triton --out {tmp}/x", 1, "manifest.json is missing"),
    ("{bundle} --layout triton --out {taken}", 1, "it exists and holds no allweather.json; name a new folder"),
    ("{bundle} --layout torchserve --out {tmp}/x", 2, "'torchserve' is not one of 'triton', 'ovms'"),
]


@pytest.mark.parametrize(("line", "code", "message"), BAD, ids=[line for line, _, _ in BAD])
def test_bad_input_gets_one_clear_line(
    line: str, code: int, message: str, tmp_path: Path, sample_bundle: Path, plain: Path
) -> None:
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "config.json").write_text("{}")
    before = sorted(tmp_path.rglob("*"))
    words = {"tmp": tmp_path, "bundle": sample_bundle, "plain": plain, "taken": taken}
    done = run(*line.format(**words).split())
    said = " ".join(re.sub(r"[│╭╮╰╯─]", "", done.stderr).split())
    assert done.exit_code == code, said
    assert message.format(**words) in said
    assert "Traceback" not in said
    assert sorted(tmp_path.rglob("*")) == before
