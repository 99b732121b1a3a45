"""Text of users in Markdown: every renderer of CommonMark and of GitHub's tables shows it as it was written."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from allweather.runtimes.markdown import markdown, markdown_page, markdown_table
from allweather.runtimes.text import printable

MARKUP = "\\`*_{}[]()<>|$&~#!+-=.:;'\"/@^%"
texts = st.text(st.one_of(st.sampled_from(MARKUP + "ab1 \t\n\x1b\u2028é"), st.characters())) | st.sampled_from(
    [
        "a|b", "`code`", "<script>alert(1)</script>", "<!-- x", "[a](javascript:b)", "![a](b)", "&lt;", "&#124;",
        "---", "***", "___", "===", "1. a", "12) a", "- a", "+ a", "    a", "\ta", "a  \nb", "# a", "a #",
        "~~a~~", "~~~",
        "_", "```", "a_b_c", "_a_", "__a__", "$x$", "\\", "a\\", "\\|", "> a", "| a |", "[a]: b", "*",
        "**a**b", "<a@b.c>", "a_",
    ]
)  # fmt: skip
RENDERER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])


def shown(text: str) -> str:
    return printable(text).strip()


def only_text(token: Token) -> str:
    """The text of an inline token that holds nothing but text and escaped characters."""
    assert {child.type for child in token.children or ()} <= {"text", "text_special"}, token.children
    return "".join(child.content for child in token.children or ())


@settings(max_examples=400, deadline=None)
@given(texts)
@example("1.")
@example("0) ")
@pytest.mark.slow
def test_a_text_is_shown_as_it_is(text: str) -> None:
    tokens = RENDERER.parse(markdown(text))
    if not shown(text):
        assert markdown(text) == ""
        return
    assert [token.type for token in tokens] == ["paragraph_open", "inline", "paragraph_close"]
    assert only_text(tokens[1]) == shown(text)


@settings(max_examples=200, deadline=None)
@given(st.lists(texts, min_size=6, max_size=6), texts)
@pytest.mark.slow
def test_a_page_has_the_texts_where_they_belong(cells: list[str], title: str) -> None:
    table = markdown_table([("head", "of", "it"), cells[:3], cells[3:]])
    tokens = RENDERER.parse(markdown_page(title, "lead", [f"- {markdown(cells[0])}"], table))
    kinds = [token.type for token in tokens]
    assert kinds.count("heading_open") == 1
    assert kinds.count("table_open") == 1
    assert kinds.count("list_item_open") == 1
    inside = tokens[kinds.index("table_open") : kinds.index("table_close")]
    found = [only_text(token) for token in inside if token.type == "inline"]
    assert found == ["head", "of", "it", *map(shown, cells)]
    assert only_text(tokens[1]) == shown(title)


@pytest.mark.parametrize("text", ["gaussian_noise", "folder:/data/a-b.c", "top:2+flip", "0.5 (fp16)", "résumé_1"])
def test_what_marks_nothing_up_stays_readable(text: str) -> None:
    assert markdown(text) == text


def test_a_table_has_its_header_first() -> None:
    assert markdown_table([("", "a"), ("x", "1")]) == ["|  | a |", "|---|---:|", "| x | 1 |"]
