"""Which names in a folder are images, and which are what systems and programs leave there."""

from __future__ import annotations

# .jfif is what some browsers call a JPEG that they save
IMAGE_SUFFIXES = frozenset({
    ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pnm", ".gif", ".avif",
})  # fmt: skip
# what is likely meant to be read, too, and is not
UNREAD_SUFFIXES = frozenset({
    ".heic", ".heif", ".jxl", ".jp2", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".raw", ".mp4", ".avi", ".mkv", ".mov",
    ".webm", ".zip", ".tar", ".gz",
})  # fmt: skip
# what systems and programs leave in folders, in lower case; names that begin with a dot are hidden as well
HIDDEN_NAMES = frozenset({
    "@eadir", "#recycle", "#snapshot", "@recycle", "@tmp", "__macosx", "$recycle.bin", "recycler", "lost+found",
    "system volume information", "thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "icon\r",
    "__pycache__", "cvs",
})  # fmt: skip


def is_hidden(name: str) -> bool:
    """Returns whether a file or folder of this name is no part of the data, such as .git, @eaDir or Thumbs.db."""
    return name.startswith(".") or name.lower() in HIDDEN_NAMES


def is_image_name(name: str) -> bool:
    """Returns whether a file of this name is an image by its suffix."""
    _, dot, suffix = name.rpartition(".")
    return bool(dot) and f".{suffix.lower()}" in IMAGE_SUFFIXES
