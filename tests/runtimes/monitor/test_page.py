"""The page: its script reads only what the server sends, and a browser shows it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from dataclasses import fields
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args

import pytest
from previews import LOCALHOST, first_event, preview

from allweather.runtimes.monitor.server import MonitorServer
from allweather.runtimes.types import Drops, Reason, StageTimes

PAGE = files("allweather.runtimes.monitor").joinpath("page.html").read_text("utf-8")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def state() -> dict[str, Any]:
    """Returns the state of one camera as the page gets it."""
    with MonitorServer([preview(3)], LOCALHOST) as server:
        (first,) = json.loads(first_event(server))
    return dict(first)


def keys_read(variable: str) -> set[str]:
    """Returns the keys of an object that the script of the page reads, such as `label` of `decision.label`."""
    return set(re.findall(rf"(?<![\w.]){variable}\.(\w+)", PAGE)) | set(re.findall(rf"state\.{variable}\.(\w+)", PAGE))


def table_keys(name: str) -> set[str]:
    """Returns the keys of a constant table of the script."""
    (table,) = re.findall(rf"const {name} = {{(.*?)}};", PAGE, re.DOTALL)
    return set(re.findall(r"(\w+): \"", table))


def test_every_key_that_the_page_reads_is_sent() -> None:
    sent = state()
    for variable, keys in (("state", sent), ("decision", sent["decision"]), ("camera", sent["camera"])):
        read = keys_read(variable)
        assert read, f"the page reads nothing of {variable}"
        assert read <= set(keys), f"{variable} has no {read - set(keys)}"
    assert {"p50", "p90", "p99"} <= set(sent["frame_age"])


def test_every_reason_stage_and_cause_has_its_words_or_color() -> None:
    assert table_keys("REASONS") == set(get_args(Reason))
    assert table_keys("STAGE_COLORS") == {field.name for field in fields(StageTimes)}
    assert table_keys("CAUSES") == {field.name for field in fields(Drops)}


@pytest.mark.slow
@pytest.mark.skipif(not CHROMIUM, reason="Chromium is not installed: how a browser shows the page is not tested")
def test_a_browser_shows_the_decision(tmp_path: Path) -> None:
    assert CHROMIUM
    options = [
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
        "--disable-sync", "--no-first-run", f"--user-data-dir={tmp_path}", "--virtual-time-budget=4000", "--dump-dom",
    ]  # fmt: skip
    with MonitorServer([preview(3), preview(0)], LOCALHOST, "s3cret") as server:
        browser = subprocess.Popen(
            [CHROMIUM, *options, f"{server.url}?token=s3cret"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        time.sleep(6)
    # Chromium's virtual time stands still while data comes in; the server has stopped now, and it goes on.
    dom = browser.communicate(timeout=60)[0].decode()
    assert "&lt;b&gt;stop&lt;/b&gt;" in dom
    assert "2 of 4 views" in dom
    assert dom.count('class="camera"') == 2
    assert "identity  0.25" in dom
    assert "33.0 ms" in dom
