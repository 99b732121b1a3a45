"""No secret of a generated address is ever shown. ALLWEATHER_FUZZ_EXAMPLES sets how many addresses are generated."""

from __future__ import annotations

import os
import string
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from allweather.runtimes.redaction import HARMLESS, redacted, redacted_arguments

EXAMPLES = int(os.environ.get("ALLWEATHER_FUZZ_EXAMPLES", "100"))
NOT_SECRET = ("location", "uri", "caps")  # addresses, which have secrets inside, and formats of images
MARK = "QZX"  # begins and ends each secret, and occurs in nothing else

letters = st.sampled_from(string.ascii_letters + string.digits)
names = st.text(st.sampled_from(string.ascii_lowercase + string.digits + "_-"), min_size=1, max_size=12)
unlisted = names.filter(lambda name: name.replace("_", "-") not in HARMLESS and name not in NOT_SECRET)
schemes = st.sampled_from(("rtsp://", "RTSPS://", "http://", "https://", "rtmp://", "srt://", "udp://", "ftp://"))
hosts = st.sampled_from(("host", "camera.local:554", "192.168.1.10", "[2001:db8::1]:554"))
paths = st.sampled_from(("", "/", "/door", "/Streaming/Channels/101", "/v.cgi"))


def secrets(characters: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Texts between two marks: both would have to be hidden."""
    return st.text(characters, max_size=20).map(lambda inner: f"{MARK}{inner}{MARK}")


anything = secrets(st.characters(exclude_categories=[]))
one_word = secrets(st.characters(exclude_categories=["Z", "C"]))
parameter = secrets(st.characters(exclude_categories=["Z", "C"], exclude_characters="&;#"))


@st.composite
def urls(draw: st.DrawFn) -> str:
    login = draw(st.one_of(
        anything.map(lambda secret: f"user:{secret}@"),
        anything.map(lambda secret: f"{secret}@"),
        anything.map(lambda secret: f"user:{quote(secret, safe='', errors='replace')}@"),
        st.just(""),
    ))  # fmt: skip
    query = draw(st.lists(st.one_of(
        st.tuples(unlisted, st.one_of(parameter, parameter.map(lambda value: quote(value, safe="")))).map("=".join),
        st.sampled_from(("width=640", "fps=25", "channel=1")),
        st.tuples(parameter.filter(lambda secret: "=" not in secret), st.sampled_from(("", "=", "=="))).map("".join),
    ), max_size=3))  # fmt: skip
    fragment = draw(st.one_of(st.just(""), one_word.map("#{}".format)))
    return draw(schemes) + login + draw(hosts) + draw(paths) + ("?" if query else "") + "&".join(query) + fragment


@st.composite
def pipelines(draw: st.DrawFn) -> str:
    unquoted = secrets(st.characters(exclude_categories=["Z", "C"], exclude_characters="\"'\\="))
    value = st.one_of(
        unquoted,
        anything.map(lambda secret: '"' + secret.replace("\\", "\\\\").replace('"', '\\"') + '"'),
        anything.map(lambda secret: "'" + secret.replace("\\", "\\\\").replace("'", "\\'") + "'"),
    )
    equals = st.sampled_from(("=", " = ", "= ", " ="))
    properties = st.lists(st.one_of(
        st.tuples(unlisted.filter(lambda name: name[0].isalpha()), equals, value).map("".join),
        st.tuples(st.sampled_from(("location=", "uri=")), schemes, unquoted, st.just("@host/a")).map("".join),
        st.sampled_from(("latency=0", "width=640", "sensor-id=0")),
    ), min_size=1, max_size=3)  # fmt: skip
    first, second = draw(properties), draw(properties)
    return f"rtspsrc {' '.join(first)} ! queue {' '.join(second)} ! appsink"


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.one_of(urls(), pipelines(), st.tuples(urls(), urls()).map(" ".join)))
@pytest.mark.slow
def test_no_secret_of_an_address_is_shown(address: str) -> None:
    shown = redacted(address)
    assert MARK not in shown
    assert redacted(shown) == shown


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.text(st.characters(exclude_categories=[])))
def test_any_text_is_taken(text: str) -> None:
    for function in (redacted, redacted_arguments):
        assert isinstance(function(text), str)
