"""What a camera with a name says of a source that it cannot open."""

from __future__ import annotations

import pytest

from allweather.runtimes.cameras.open import open_camera
from allweather.runtimes.errors import CameraError


@pytest.mark.parametrize("source", ["missing.avi", f"{'x' * 300}.avi", "ftp://host/missing.avi"])
def test_a_source_that_cannot_be_opened_is_told_by_itself_and_not_by_the_name_of_its_camera(source: str) -> None:
    with pytest.raises(CameraError, match=r"(missing|xxx)\.avi") as raised:
        open_camera(source, name="front")
    assert "front" not in str(raised.value)
