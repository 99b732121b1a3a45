"""allweather export BUNDLE --layout."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import invoke, json_of, one_line

from allweather.runtimes.bundle.bundle import Bundle


@pytest.mark.parametrize(("layout", "engine"), [("triton", "onnx"), ("ovms", "openvino")])
@pytest.mark.slow
def test_a_bundle_becomes_a_repository(layout: str, engine: str, sample_bundle: Path, tmp_path: Path) -> None:
    line = ["export", sample_bundle, "--layout", layout, "--out", tmp_path / "models"]
    result = json_of(invoke(*line, "--json"))
    preferred = next(model for model in Bundle.open(sample_bundle).manifest.models if model.engine == engine)
    assert result == {
        "repository": str(tmp_path / "models"), "layout": layout, "version": 1,
        "classifier": f"{engine} {preferred.precision}", "predictor": f"{engine} fp32",
    }  # fmt: skip
    again = invoke(*line, "--engine", "onnx", "--precision", "fp32")
    assert again.exit_code == 0, again.stderr
    assert "onnx fp32" in again.stdout
    assert "docs/how-to/model-servers.md" in again.stderr
    assert (tmp_path / "models" / "classifier" / "2" / "model.onnx").is_file()


BAD = [  # arguments, exit code, words of the message
    ("{bundle} --out {tmp}/x", 2, "is a bundle already ... --layout triton or ovms"),
    ("{plain} --layout triton --out {tmp}/x", 2, "--layout takes a bundle; export {plain}"),
    ("{bundle} --layout triton --data signs --out {tmp}/x", 2, "--layout ... leave out --data"),
    ("{bundle} --layout triton --force --download --out {tmp}/x", 2, "--layout ... leave out --download, --force"),
    ("{bundle} --layout ovms --engine onnx --engine openvino --out {tmp}/x", 2, "--engine ... at most once"),
    ("{bundle} --layout triton --out {tmp}/x.zip", 2, "--layout writes a folder"),
    ("{bundle} --layout triton --engine openvino --out {tmp}/x", 1, "triton ... onnx"),
    ("{tmp}/none.aw --layout triton --out {tmp}/x", 1, "no bundle at {tmp}/none.aw"),
    ("{tmp} --layout triton --out {tmp}/x", 1, "manifest.json is missing"),
    ("{bundle} --layout triton --out {taken}", 1, "holds no allweather.json ... new folder"),
    ("{bundle} --layout torchserve --out {tmp}/x", 2, "'torchserve' ... 'triton', 'ovms'"),
]


@pytest.mark.parametrize(("line", "code", "words"), BAD, ids=[line for line, _, _ in BAD])
def test_bad_input_gets_one_clear_line(
    line: str, code: int, words: str, tmp_path: Path, sample_bundle: Path, plain: Path
) -> None:
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "config.json").write_text("{}")
    before = sorted(tmp_path.rglob("*"))
    paths = {"tmp": tmp_path, "bundle": sample_bundle, "plain": plain, "taken": taken}
    done = invoke("export", *line.format(**paths).split())
    message = one_line(done)
    assert done.exit_code == code, message
    for part in words.format(**paths).split(" ... "):
        assert part in message
    assert "Traceback" not in message
    assert sorted(tmp_path.rglob("*")) == before
