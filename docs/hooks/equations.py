"""Equations in LaTeX become MathML, which browsers draw by themselves.

They are written as code hosts read them: a fence of the language math, or between a dollar sign with a backtick and a
backtick with a dollar sign within a line.
"""

from __future__ import annotations

import re
from typing import Any

from latex2mathml.converter import convert
from markdown import Markdown
from markdown.extensions import Extension
from markdown.inlinepatterns import InlineProcessor
from mkdocs.config.defaults import MkDocsConfig

INLINE = r"\$`([^`]+)`\$"
ABOVE_CODE = 195  # the priority of code between backticks is 190


class _InlineEquation(InlineProcessor):
    def handleMatch(self, m: re.Match[str], data: str) -> tuple[str, int, int]:  # type: ignore[override]  # noqa: N802
        return self.md.htmlStash.store(convert(m[1])), m.start(0), m.end(0)


class _Equations(Extension):
    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802
        md.inlinePatterns.register(_InlineEquation(INLINE, md), "equation", ABOVE_CODE)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Adds both forms to the Markdown that pages are written in."""
    fences = config.mdx_configs.setdefault("pymdownx.superfences", {}).setdefault("custom_fences", [])
    fences.append({"name": "math", "class": "math", "format": _block})
    config.markdown_extensions.append(_Equations())  # type: ignore[arg-type]
    return config


def _block(source: str, *_: Any, **__: Any) -> str:
    return f'<div class="equation">{convert(source.strip(), display="block")}</div>'
