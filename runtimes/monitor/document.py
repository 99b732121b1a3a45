"""The page as one document, made of page.html, page.css and page.js."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True)
class Document:
    """A document and what a browser may do with it.

    Attributes:
        html: The document, UTF-8.
        policy: Content security policy. It names the hashes of the style and of the script, so that no other can run,
            and allows images that the script made of what it received.
    """

    html: bytes
    policy: str


@cache
def page_document() -> Document:
    """Returns the page. It is a single document, so that it works under any address and costs a viewer one request."""
    folder = files("allweather.runtimes.monitor")
    html, style, script = (folder.joinpath(f"page.{kind}").read_bytes() for kind in ("html", "css", "js"))
    policy = (
        f"default-src 'none'; connect-src 'self'; img-src blob: data:; style-src '{_hash(style)}'; "
        f"script-src '{_hash(script)}'; base-uri 'none'; form-action 'none'"
    )
    html = html.replace(b'<link rel="stylesheet" href="page.css">', b"<style>" + style + b"</style>")
    html = html.replace(b'<script src="page.js"></script>', b"<script>" + script + b"</script>")
    return Document(html, policy)


def _hash(content: bytes) -> str:
    """Returns the hash of an inline style or script, as a content security policy names it."""
    return "sha256-" + base64.b64encode(hashlib.sha256(content).digest()).decode()
