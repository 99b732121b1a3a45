"""Which names in a folder are images."""

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


def is_image_name(name: str) -> bool:
    """Returns whether a file of this name is an image by its suffix."""
    _, dot, suffix = name.rpartition(".")
    return bool(dot) and f".{suffix.lower()}" in IMAGE_SUFFIXES
