from __future__ import annotations

import pytest

from allweather.runtimes.cameras.image_files import is_image_name
from allweather.runtimes.system.hidden_names import is_hidden


@pytest.mark.parametrize(
    "name", [".git", ".ipynb_checkpoints", "@eaDir", "__MACOSX", "Thumbs.db", "desktop.ini", "$RECYCLE.BIN", "._a.jpg"]
)
def test_what_systems_leave_in_folders_is_hidden(name: str) -> None:
    assert is_hidden(name)


@pytest.mark.parametrize("name", ["cat", "a.jpg", "eaDir", "macosx", "_cat", "1.5 ton"])
def test_names_of_users_are_not_hidden(name: str) -> None:
    assert not is_hidden(name)


def test_images_are_known_by_any_spelling_of_their_suffix() -> None:
    assert all(map(is_image_name, ("a.JPG", "b.jfif", "c.jpe", "d.Tiff", "e.avif", "f.gif", ".png")))
    assert not any(map(is_image_name, ("jpg", "a.txt", "b.jpg.txt", "c.", "")))
