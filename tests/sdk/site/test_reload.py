"""Reading a configuration again notices a bundle that was replaced under its own name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from allweather.runtimes.errors import BundleError
from allweather.site.open_site import load_site
from allweather.site.read import site_from
from allweather.site.reload import reloaded


def test_another_bundle_of_the_same_name_is_loaded(sample_bundle: Path, tmp_path: Path) -> None:
    current, new = tmp_path / "current.aw", tmp_path / "new.aw"
    current.symlink_to(sample_bundle)
    shutil.copytree(sample_bundle, new)
    manifest = json.loads((new / "manifest.json").read_text())
    manifest["arch"] = "retrained"
    (new / "manifest.json").write_text(json.dumps(manifest))
    raw = {
        "bundle": str(current), "engine": "onnx", "policy": "center", "threads": 1,
        "cameras": [{"name": "front", "source": str(tmp_path)}],
    }  # fmt: skip
    site = site_from(raw, "site.yaml")
    running = load_site(site)
    assert reloaded(site, running).perceivers is running.perceivers

    current.unlink()
    current.symlink_to(new)  # as with ln -sfn
    other = reloaded(site, running)
    assert other.perceivers is not running.perceivers
    assert other.manifest.arch == "retrained"
    assert reloaded(site, other).perceivers is other.perceivers

    current.unlink()
    with pytest.raises(BundleError, match="no bundle at"):
        reloaded(site, other)
    running.close()
    other.close()
