"""Reading a configuration again notices a bundle that was replaced under its own name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from allweather.runtimes.errors import BundleError
from allweather.runtimes.tta.latency_model import LatencyModel
from allweather.runtimes.warm_up import measure_view_latency
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


def test_as_many_regions_as_a_frame_has_are_measured_at_the_start(
    sample_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the first frame is the first batch of that size, and comes too late."""
    measured: list[int] = []

    def recorded(*arguments: Any) -> LatencyModel:
        measured.extend(arguments[3])
        return measure_view_latency(*arguments)

    monkeypatch.setattr("allweather.runtimes.load.measure_view_latency", recorded)
    camera = {"name": "front", "source": str(tmp_path), "budget_ms": 50}
    raw = {"bundle": str(sample_bundle), "engine": "onnx", "policy": "center", "threads": 1, "cameras": [camera]}
    whole = load_site(site_from(raw, "site.yaml"))
    assert measured == [1]
    camera["regions"] = {"left": [0, 0, 32, 32], "right": [32, 0, 32, 32]}
    regions = reloaded(site_from(raw, "site.yaml"), whole)
    assert measured == [1, 1, 2]
    regions.close_unless_shared(whole)
    whole.close()
