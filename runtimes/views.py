"""Test-time views: the ways a prepared picture can be looked at. Pure functions on uint8 HWC.

`VIEWS` is the one list; a view's place in it is its column wherever views are counted. It holds the identity alone so
far: look once, as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from allweather.runtimes.frame import Image


@dataclass(frozen=True)
class View:
    """One way to look at a picture.

    Attributes:
        name: as written in bundles and decisions.
        apply: uint8 [h, w, 3] -> uint8 [h, w, 3]; never changes its argument.
    """

    name: str
    apply: Callable[[Image], Image]


VIEWS: Mapping[str, View] = MappingProxyType({"identity": View("identity", lambda image: image)})
