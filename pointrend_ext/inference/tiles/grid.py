"""Windows that cover an image and overlap their neighbours."""

import math
from itertools import pairwise
from typing import NamedTuple

Extent = tuple[int, int, int, int]
"""Top, left, bottom, right: the first row and column, and those behind the last."""


class Window(NamedTuple):
    """A part of an image in pixels: rows ``top`` to ``bottom``, columns ``left`` to ``right``.

    Attributes:
        core: the same of the part that is nearer to its middle than to that of any neighbour; the
            cores of all windows fill the image.
    """

    top: int
    left: int
    bottom: int
    right: int
    core: Extent


def in_both(first: Extent, second: Extent) -> Extent:
    """Return what lies in both; where nothing does, bottom <= top or right <= left."""
    (a, b, c, d), (e, f, g, h) = first, second
    return max(a, e), max(b, f), min(c, g), min(d, h)


def windows_of(size_hw: tuple[int, int], tile_px: int, overlap_px: int) -> list[Window]:
    """Cover an image with windows of one size, row by row, as even as whole pixels allow.

    Args:
        size_hw: of the image.
        tile_px: side of a window; a side of the image that is shorter is taken as a whole.
        overlap_px: that neighbours have in common, at least.
    """
    rows, columns = (_spans(side, tile_px, overlap_px) for side in size_hw)
    return [
        Window(top, left, bottom, right, (core_top, core_left, core_bottom, core_right))
        for top, bottom, core_top, core_bottom in rows
        for left, right, core_left, core_right in columns
    ]


def _spans(side: int, tile: int, overlap: int) -> list[tuple[int, int, int, int]]:
    """Return begin and end, and those of the core, of each window along a side."""
    number = 1 if side <= tile else math.ceil((side - overlap) / (tile - overlap))
    length = min(tile, side)
    gaps = max(number - 1, 1)
    begins = [round(index * (side - length) / gaps) for index in range(number)]
    middles = [(first + length + second) // 2 for first, second in pairwise(begins)]
    seams = [0, *middles, side]
    return [
        (begin, begin + length, seams[index], seams[index + 1])
        for index, begin in enumerate(begins)
    ]
