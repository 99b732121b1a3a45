"""The hooks that make a part of the documentation site: diagrams, and pages for files outside of docs/."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path, PurePosixPath
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

HOOKS = Path(__file__).parent.parent / "docs" / "hooks"


def hook(name: str) -> dict[str, Any]:
    pytest.importorskip("mkdocs", reason="the extra docs is not installed: the hooks of the site were not checked")
    return runpy.run_path(str(HOOKS / f"{name}.py"), run_name=f"hook_{name}")


@pytest.fixture
def diagram(monkeypatch: pytest.MonkeyPatch) -> Any:
    module = ModuleType("hook_diagrams")
    monkeypatch.setitem(sys.modules, "hook_diagrams", module)  # dataclasses look for the module of their class
    return hook("diagrams")["_draw"]


def test_a_diagram_shows_every_node_once_and_every_arrow_downwards(diagram: Any) -> None:
    svg = diagram("graph TD\n  a[first]\n  b[<second>]\n  c[third]\n  a --> b\n  b --> c\n  a --> c\n")
    assert re.findall(r"<text[^>]*>([^<]*)</text>", svg) == ["first", "&lt;second&gt;", "third"]
    paths = re.findall(r'<path class="thin" d="M\d+ (\d+)[^"]* (\d+)"', svg)
    assert len(paths) == 3
    assert all(int(start) < int(end) for start, end in paths)


def test_a_line_that_a_diagram_cannot_have_is_named(diagram: Any) -> None:
    with pytest.raises(ValueError, match=r"does not know the line 'a -\.-> b' of a diagram"):
        diagram("graph TD\n  a -.-> b\n")


@pytest.mark.parametrize(
    ("path", "page"),
    [
        ("CHANGELOG.md", "source/CHANGELOG.md"),
        ("samples/watch.py", "source/samples/watch.py.md"),
        ("samples/deploy", "source/samples/deploy/index.md"),
    ],
)
def test_a_file_outside_of_docs_has_a_page(path: str, page: str) -> None:
    assert hook("sources")["_page"](PurePosixPath(path)) == page


def test_a_page_of_results_that_a_docstring_names_is_linked() -> None:
    link = hook("sources")["on_page_content"]
    known = {"results/int8.md": SimpleNamespace(url_relative_to=lambda file: "../../results/int8.html")}
    page = SimpleNamespace(file=SimpleNamespace(src_uri="reference/api/trainers.md"))
    html = "<p>measured (docs/results/int8.md), and docs/results/none.md</p>"
    assert link(html, page, None, SimpleNamespace(get_file_from_path=known.get)) == (
        '<p>measured (<a href="../../results/int8.html">results: int8</a>), and docs/results/none.md</p>'
    )
