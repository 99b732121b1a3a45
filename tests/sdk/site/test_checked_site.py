"""What a configuration is checked for before a camera is opened."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commands import invoke, one_line
from sites import config, write_video


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run"], "the bundle is missing"),
        (["run", "x.aw"], "--source is missing"),
        (["run", "--config", "site.yaml", "--source", "0", "--live"], "--config replaces --source, --live"),
        (["run", "--config", "no.yaml"], "cannot read no.yaml"),
        (["config"], "give either --check FILE or --schema"),
        (["config", "--check", "no.yaml"], "cannot read no.yaml"),
    ],
)
def test_bad_usage_is_one_line(arguments: list[str], message: str) -> None:
    done = invoke(*arguments)
    assert done.exit_code == 2
    assert message in one_line(done)


@pytest.mark.slow
def test_the_check_says_what_each_camera_runs(sample_bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(json.dumps(config(sample_bundle, tmp_path)))
    checked = json.loads(invoke("config", "--check", str(path), "--json").stdout)
    assert [(each["name"], each["policy"]) for each in checked["cameras"]] == [("front", "hflip"), ("yard", "center")]
    path.write_text(json.dumps(config(sample_bundle, tmp_path, policy="top:99")))
    assert "top:99" in one_line(invoke("config", "--check", str(path)))
    schema = json.loads(invoke("config", "--schema").stdout)
    assert {"bundle", "cameras"} <= set(schema["required"])


def test_accepted_only_needs_a_threshold_and_something_that_is_sent(sample_bundle: Path, tmp_path: Path) -> None:
    write_video(tmp_path / "x.avi", 2)
    raw = config(sample_bundle, tmp_path, policy="center")
    raw["cameras"][1]["accepted_only"] = True
    (tmp_path / "site.yaml").write_text(json.dumps(raw))
    message = one_line(invoke("run", "--config", str(tmp_path / "site.yaml")))
    assert "accepted_only is about what is sent; name a broker (mqtt) or a URL (webhook)" in message
    raw["cameras"][1]["mqtt"] = {"address": "mqtt://127.0.0.1:9"}
    (tmp_path / "site.yaml").write_text(json.dumps(raw))
    message = one_line(invoke("run", "--config", str(tmp_path / "site.yaml")))
    assert "camera yard: policy center has no threshold of accepted decisions" in message
    assert "allweather tune-policy --risk" in message
    assert one_line(invoke("config", "--check", str(tmp_path / "site.yaml"))) == message


@pytest.mark.parametrize(
    ("serve", "token", "message"),
    [
        ("0.0.0.0:0", "", "a page on 0.0.0.0 can be seen from other machines and needs a token"),
        (
            "0",
            "with a blank",
            "the token of the page must consist of letters, digits and signs of ASCII without spaces",
        ),
        ("0.0.0.0:0", "right", None),
        ("0", "", None),
    ],
)
def test_the_check_tells_what_the_page_would_not_take(
    serve: str, token: str, message: str | None, sample_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(json.dumps(config(sample_bundle, tmp_path, serve=serve)))
    monkeypatch.setenv("ALLWEATHER_TOKEN", token)
    done = invoke("config", "--check", str(path))
    assert done.exit_code == (2 if message else 0)
    assert message is None or message in one_line(done)
