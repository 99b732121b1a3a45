"""Names of what systems and programs leave in folders by themselves."""

from __future__ import annotations

# what systems and programs leave in folders, in lower case; names that begin with a dot are hidden as well
HIDDEN_NAMES = frozenset({
    "@eadir", "#recycle", "#snapshot", "@recycle", "@tmp", "__macosx", "$recycle.bin", "recycler", "lost+found",
    "system volume information", "thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "icon\r",
    "__pycache__", "cvs",
})  # fmt: skip


def is_hidden(name: str) -> bool:
    """Returns whether a file or folder of this name is no part of the data, such as .git, @eaDir or Thumbs.db."""
    return name.startswith(".") or name.lower() in HIDDEN_NAMES
