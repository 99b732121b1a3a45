"""`Region`: a rectangular part of a frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from allweather.runtimes.errors import UsageError


@dataclass(frozen=True)
class Region:
    """A rectangular part of a frame.

    Attributes:
        x: Left edge in pixels, at least 0.
        y: Top edge in pixels, at least 0.
        width: Width in pixels, at least 1.
        height: Height in pixels, at least 1.
    """

    x: int
    y: int
    width: int
    height: int

    def __post_init__(self) -> None:
        """Checks that the region is not empty and that its left and top edges are not negative.

        Raises:
            UsageError: It is empty, or an edge is negative or no whole number.
        """
        edges = (self.x, self.y, self.width, self.height)
        if not all(isinstance(edge, int | np.integer) and not isinstance(edge, bool) for edge in edges):
            raise UsageError(
                f"the edges and sides of a region are whole numbers of pixels; "
                f"got {self.x!r:.20}, {self.y!r:.20}, {self.width!r:.20}, {self.height!r:.20}"
            )
        if min(self.x, self.y) < 0 or min(self.width, self.height) < 1:
            raise UsageError(
                f"a region is x,y,width,height with x, y >= 0 and width, height >= 1; "
                f"got {self.x},{self.y},{self.width},{self.height}"
            )
        for name in ("x", "y", "width", "height"):  # a small integer of NumPy would overflow in x + width
            object.__setattr__(self, name, int(getattr(self, name)))

    def crop(self, image: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        """Returns the part of an image inside the region, as a NumPy view of the same memory.

        Args:
            image: uint8 [H, W, 3].

        Returns:
            uint8 [height, width, 3].

        Raises:
            UsageError: The region does not lie inside the image.
        """
        height, width = image.shape[:2]
        if self.x + self.width > width or self.y + self.height > height:
            raise UsageError(
                f"the region {self.x},{self.y},{self.width},{self.height} reaches outside the frame of "
                f"{width} x {height} pixels; choose one inside it"
            )
        return image[self.y : self.y + self.height, self.x : self.x + self.width]
