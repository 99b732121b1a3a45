"""The camera of the guide to a program of one's own, which only its maker's library reads."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest

from allweather.runtimes.errors import CameraError

GUIDE = Path(__file__).parents[3] / "docs" / "how-to" / "own-program.md"


class MakerError(Exception):
    """What the fake of the maker's library raises."""


def fail(*_: object, **__: object) -> NoReturn:
    raise MakerError("the cable is out")


@pytest.mark.parametrize(
    "maker",
    [
        SimpleNamespace(Error=MakerError, open=fail),
        SimpleNamespace(Error=MakerError, open=lambda name: SimpleNamespace(grab=fail, close=lambda: None)),
    ],
    ids=["open", "read"],
)
def test_a_device_that_is_not_there_is_an_error_of_the_camera(maker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "maker", maker)
    (block,) = (each for each in re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL) if "maker" in each)
    names: dict[str, Any] = {}
    exec(block.partition("with allweather.load")[0], names)  # noqa: S102 -- the guide's class, as it stands there
    with pytest.raises(CameraError, match=r"^belt: the cable is out$"):
        next(iter(names["BeltCamera"]("belt")))
