"""Commands on shards: what they say holds no password."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import invoke, json_of, one_line
from shard_data import paint_folder, served, write_split


@pytest.mark.slow
def test_training_on_shards_of_a_server_shows_no_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = paint_folder(tmp_path / "folder", {"train": 24})
    write_split(tmp_path / "shards", folder, "train", 2)
    with served(tmp_path / "shards") as server:
        name = f"webdataset:http://me:secret@{server.host}/train-{{0..1}}.tar"
        line = ("--arch", "resnet8", "--size", 32, "--epochs", 1, "--batch-size", 16, "--workers", 0, "--json")
        done = invoke("train", "--data", name, *line, "--out", tmp_path / "m.safetensors")
        assert json_of(done)["data"] == f"webdataset:http://***@{server.host}/train-{{0..1}}.tar"
        inspected = invoke("inspect", name, "--json")
        assert json_of(inspected)["splits"][0]["images"] == {"cat": 24, "dog": 24}
        missing = invoke("inspect", name.replace("train", "no"))
    assert missing.exit_code == 1
    assert "cannot be fetched: the server responds 404" in one_line(missing)
    written = b"".join(path.read_bytes() for path in tmp_path.glob("m*"))
    assert b"secret" not in written + "".join(each.output for each in (done, inspected, missing)).encode()
