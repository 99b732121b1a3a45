"""Lays the tree of links that shows the four folders as the package `allweather`, for the reference of the API.

The reference is made from the sources as they stand, without importing them.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import event_priority

ROOT = Path(__file__).parents[2]
_TREE = TemporaryDirectory(prefix="allweather-docs-")  # removed when the program ends


@event_priority(100)  # before mkdocstrings reads its settings
def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Tells mkdocstrings where the package is."""
    package = Path(_TREE.name) / "allweather"
    if not package.exists():
        package.mkdir()
        for each in [*(ROOT / "sdk").iterdir(), *(ROOT / name for name in ("exporters", "runtimes", "trainers"))]:
            if each.name != "__pycache__":
                (package / each.name).symlink_to(each)
    config.plugins["mkdocstrings"].config.handlers["python"]["paths"] = [_TREE.name]
    return config
