"""Text leaves the program by any way as text: no markup, no control character, nothing that a stream cannot hold."""

from __future__ import annotations

import html
import io
import json
import re
import time
import warnings

import numpy as np
import pytest
from commands import run_python
from decisions import decision as decision_of
from hypothesis import given, settings
from hypothesis import strategies as st

from allweather.cli import console
from allweather.reports import image_grids, plots
from allweather.reports.html import Section, page
from allweather.runtimes.markdown import markdown_table
from allweather.runtimes.monitor.prometheus import _distinct
from allweather.runtimes.sinks.annotate import annotate
from allweather.runtimes.sinks.record import json_line
from allweather.runtimes.text import forbidden_character, printable, to_json, valid_unicode

MARKUP = (
    "$",
    "$$",
    "$^$",
    r"a$\b$",
    "US$1-US$5",
    r"\[/x]",
    "[/x]",
    "[red]",
    "[link=x]a",
    ":b:",
    "\\",
    "<b>&amp;",
    '"\\',
    "{x}",
)
CONTROL = ("\x1b[31m", "\x9b31m", "\x07", "a\nb", "a\rb", "\u2028", "\u202ecba", "caf\udce9", "\ud83d", "\0", "\x7f")
NAMES = (
    "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
    "\U0001f469\u200d\U0001f680",
    "\u732b",
    "caf\xe9",
    "a\u3000b",
)
texts = st.one_of(st.sampled_from((*MARKUP, *CONTROL, *NAMES)), st.text(st.characters(exclude_categories=[])))


def is_printable(text: str) -> bool:
    return printable(text) == text


@settings(deadline=None)
@given(texts)
def test_text_that_is_shown_is_one_line_of_utf8(text: str) -> None:
    shown = printable(text)
    assert len(shown) == len(text)
    assert is_printable(shown)
    assert printable(shown) == shown
    assert shown.encode().decode() == shown
    assert not forbidden_character(shown)


@pytest.mark.parametrize("name", NAMES)
def test_names_of_all_scripts_are_shown_as_they_are(name: str) -> None:
    assert printable(name) == name
    assert not forbidden_character(name)


@pytest.mark.parametrize("text", CONTROL)
def test_characters_that_a_terminal_obeys_are_not_shown(text: str) -> None:
    assert printable(text) != text
    assert forbidden_character(text)


@settings(deadline=None)
@given(texts)
@pytest.mark.slow
def test_a_terminal_shows_text_as_it_is(text: str) -> None:
    written = io.StringIO()
    terminal = console.PlainConsole(stderr=False)
    terminal.file, terminal._width = written, 10_000  # type: ignore[misc]
    terminal.print(text)
    assert written.getvalue() == printable(text) + "\n"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(console, "out", terminal)
        console.print_result({"name": text, text: "value"}, False, text)
        console.print_table([("", text), (text, "1")])
    rows = written.getvalue().splitlines()
    assert all(map(is_printable, rows))
    assert any(printable(text).strip() in row for row in rows[1:])


@settings(deadline=None)
@given(texts)
@pytest.mark.slow
def test_a_progress_bar_shows_text_as_it_is(text: str) -> None:
    written = io.StringIO()
    terminal = console.PlainConsole(stderr=True)
    terminal.file, terminal._width, terminal._force_terminal = written, 1000, True  # type: ignore[misc]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(console, "err", terminal)
        with console.progress_bar(text, 3) as update:
            update(1, text, 3)
    assert "\x9b" not in written.getvalue()
    assert written.getvalue().encode()


@settings(deadline=None)
@given(texts)
def test_json_is_one_line_of_strict_json(text: str) -> None:
    written = json.dumps(to_json({text: [text]}))
    assert json.loads(written) == {valid_unicode(text): [valid_unicode(text)]}
    line = json_line(decision_of(label=text), 0.0)
    assert line.splitlines() == [line.removesuffix("\n")]
    assert is_printable(line.removesuffix("\n")) or not text.isprintable()
    assert json.loads(line.encode())["label"] == valid_unicode(text)


@settings(deadline=None)
@given(texts)
def test_a_page_gives_the_text_back(text: str) -> None:
    written = page(text, text, [Section(text, text, [(text,), (text,)], image="a.png", alt=text)])
    assert written.encode()
    for tag in ("title", "h1", "h2", "th", "td"):
        found = re.search(f"<{tag}>(.*?)</{tag}>", written)
        assert found is not None
        assert html.unescape(found[1]) == printable(text)
    row = markdown_table([(text, "b")])[0]
    assert row.count("|") - row.count("\\|") == 3


@settings(max_examples=15, deadline=None)
@given(st.lists(texts, min_size=3, max_size=3))
@pytest.mark.slow
def test_a_plot_is_drawn_without_error_or_warning(names: list[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert plots.confusion_matrix(np.eye(3).tolist(), names).startswith(b"\x89PNG")
        assert image_grids.gallery(
            [np.zeros((8, 8, 3), np.uint8)], [f"true: {printable(names[0]) * 500}\npredicted: b"]
        ).startswith(b"\x89PNG")


@pytest.mark.parametrize("name", [*MARKUP, *CONTROL, *NAMES, "a" * 5000])
@pytest.mark.slow
def test_a_plot_shows_a_name_that_has_markup(name: str) -> None:
    assert plots.confusion_matrix([[1, 0], [0, 1]], [name, "b"]).startswith(b"\x89PNG")


@pytest.mark.slow
def test_a_dollar_is_drawn_as_a_dollar() -> None:
    assert plots.confusion_matrix([[1, 0], [0, 1]], ["5$_b$", "b"]) != plots.confusion_matrix(
        [[1, 0], [0, 1]], ["5_b", "b"]
    )


@settings(deadline=None)
@given(st.lists(texts, min_size=1, max_size=4))
def test_labels_of_metrics_differ(names: list[str]) -> None:
    labels = _distinct([printable(name) for name in names])
    assert len(set(labels)) == len(names)


@settings(max_examples=30, deadline=None)
@given(texts)
def test_a_frame_is_annotated_with_any_label(text: str) -> None:
    image = np.zeros((240, 320, 3), np.uint8)
    assert annotate(image, [decision_of(label=text)]).shape == image.shape


def test_a_long_label_costs_no_more_than_a_short_one() -> None:
    image = np.zeros((240, 320, 3), np.uint8)
    seconds = []
    for label in ("a" * 100, "a" * 1_000_000):
        started = time.perf_counter()
        annotate(image, [decision_of(label=label)])
        seconds.append(time.perf_counter() - started)
    assert seconds[1] < 10 * seconds[0] + 0.05


ODD_ARGUMENTS = """
import sys
from allweather.cli import main
sys.argv = ["allweather", *{arguments!r}]
main()
"""


@pytest.mark.end_to_end
@pytest.mark.parametrize(
    "odd", ["\x1b[31m", "[/x]", "rtsp://user:hunter2@host/x", "caf\udce9", "\u732b", "--\x1b[1m[/x]"]
)
@pytest.mark.parametrize("encoding", ["ascii", "utf-8:strict"])
def test_a_usage_error_is_shown_whatever_it_quotes(odd: str, encoding: str) -> None:
    done = run_python(ODD_ARGUMENTS.format(arguments=["doctor", odd]), PYTHONIOENCODING=encoding)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "\x1b" not in done.stderr
    assert "hunter" not in done.stderr
