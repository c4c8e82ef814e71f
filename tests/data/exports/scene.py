"""What every library gets to write: seven objects in four tiny pictures of odd sizes.

It needs NumPy alone, so that it runs in the environment of each library.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

CLASSES = ("disc", "unused", "star")
SIZES_HW = {
    "first.png": (48, 64),
    "second.png": (37, 53),
    "third.png": (64, 41),
    "none.png": (33, 33),
}
IMAGES = tuple(SIZES_HW)


class Ring(NamedTuple):
    """A closed outline: corners (x, y) in pixels, whether what it encloses is cut out."""

    corners: tuple[tuple[float, float], ...]
    is_hole: bool = False


@dataclass(frozen=True)
class Shape:
    """One object.

    Attributes:
        image: file name of its picture.
        name: of its class.
        rings: a pixel belongs to it where its centre is in a ring and in no hole.
    """

    image: str
    name: str
    rings: tuple[Ring, ...]

    def mask(self) -> np.ndarray:
        """Return (H, W) booleans."""
        size_hw = SIZES_HW[self.image]
        inside, cut = np.zeros(size_hw, bool), np.zeros(size_hw, bool)
        for ring in self.rings:
            (cut if ring.is_hole else inside)[_is_inside(ring, size_hw)] = True
        return inside & ~cut


def _is_inside(ring: Ring, size_hw: tuple[int, int]) -> np.ndarray:
    """Cast a ray to the left of every pixel centre and count its crossings."""
    ys, xs = np.mgrid[: size_hw[0], : size_hw[1]] + 0.5
    crossings = np.zeros(size_hw, int)
    for (x0, y0), (x1, y1) in zip(ring.corners, (*ring.corners[1:], ring.corners[0]), strict=True):
        if y0 != y1:
            is_level = (ys >= min(y0, y1)) & (ys < max(y0, y1))
            crossings += is_level & (xs > x0 + (ys - y0) / (y1 - y0) * (x1 - x0))
    return crossings % 2 == 1


def _box(x0: float, y0: float, x1: float, y1: float, *, is_hole: bool = False) -> Ring:
    return Ring(((x0, y0), (x1, y0), (x1, y1), (x0, y1)), is_hole)


def _circle(x: float, y: float, radius: float, corners: int = 24, *, is_hole: bool = False) -> Ring:
    angles = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    found = np.stack([x + radius * np.cos(angles), y + radius * np.sin(angles)], axis=1).round(2)
    return Ring(tuple(map(tuple, found.tolist())), is_hole)


SHAPES = (
    Shape("first.png", "disc", (_circle(20, 22, 16), _circle(20, 22, 7, is_hole=True))),
    Shape("first.png", "star", (Ring(((50, 5), (62, 40), (38, 28))),)),
    Shape("second.png", "star", (_box(4, 5, 18, 20), _box(26, 8, 35, 30))),  # two parts
    Shape("second.png", "disc", (_box(40, 25, 53, 37),)),  # in the corner of the picture
    Shape("third.png", "disc", (_circle(18, 30, 12),)),
    Shape("third.png", "star", (Ring(((10, 24), (36, 30), (20, 58), (5, 50))),)),  # over the disc
    Shape("third.png", "star", (_box(33, 3, 34, 4),)),  # one pixel
)


def shapes(form: str) -> tuple[Shape, ...]:
    """Return the objects in the form that a library takes.

    Args:
        form: "masks", as they are; "polygons", without holes; "rings", one object per outline.
    """
    if form == "masks":
        return SHAPES
    filled = [Shape(s.image, s.name, tuple(r for r in s.rings if not r.is_hole)) for s in SHAPES]
    if form == "polygons":
        return tuple(filled)
    return tuple(Shape(s.image, s.name, (ring,)) for s in filled for ring in s.rings)


def bounds(shape: Shape) -> tuple[int, int, int, int]:
    """Return x0, y0, x1, y1 of its pixels; x1 and y1 lie behind the last ones."""
    ys, xs = np.nonzero(shape.mask())
    return int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1


def flat(shape: Shape) -> list[list[float]]:
    """Return its outlines as lists x, y, x, y, ..."""
    return [[float(v) for corner in ring.corners for v in corner] for ring in shape.rings]


def shares(shape: Shape, whole: float = 1.0) -> list[list[float]]:
    """Return the corners of its first outline in shares of the picture."""
    height, width = SIZES_HW[shape.image]
    return [[whole * x / width, whole * y / height] for x, y in shape.rings[0].corners]
