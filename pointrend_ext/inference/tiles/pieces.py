"""Objects of tiles, joined where two tiles see the same one.

Two tiles have a strip in common. Objects of one class, one of each tile, are the same where their
masks agree in that strip: this holds for an object that lies in the strip, and is found twice, and
for one that a border cuts. Of an object with two arms, a tile may see the ends alone: a piece that
its border cuts belongs to the one that covers it in the strip.

Suppression of whole masks, as of SAHI (Akyon et al., ICIP 2022), would compare the halves of a cut
object, which hardly overlap.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import TypeVar

import numpy as np

from pointrend_ext.inference.tiles.grid import Extent, Window, in_both
from pointrend_ext.visualization import MaskCrop

T = TypeVar("T", int, float)


@dataclass(frozen=True, eq=False)
class Piece:
    """An object as tiles see it.

    Attributes:
        class_id: of its class.
        score: in [0, 1].
        box: left, top, right, bottom in pixels of the image.
        crop: its mask, bool.
    """

    class_id: int
    score: float
    box: tuple[float, float, float, float]
    crop: MaskCrop

    @property
    def extent(self) -> Extent:
        """Where its mask lies."""
        (height, width), (_, top, left) = self.crop.values.shape, self.crop
        return top, left, top + height, left + width

    def part(self, extent: Extent) -> np.ndarray:
        """Return the pixels in an extent."""
        top, left, bottom, right = extent
        found = np.zeros((bottom - top, right - left), bool)
        y0, x0, y1, x1 = in_both(extent, self.extent)
        if y1 > y0 and x1 > x0:
            mask, y, x = self.crop
            own = mask[y0 - y : y1 - y, x0 - x : x1 - x]
            found[y0 - top : y1 - top, x0 - left : x1 - left] = own
        return found


def joined(
    pieces: Sequence[Sequence[Piece]], windows: Sequence[Window], lowest_iou: float
) -> list[Piece]:
    """Join the pieces of objects, and return all objects by descending score.

    Args:
        pieces: of each window.
        windows: of the tiles.
        lowest_iou: of masks in what two windows have in common, from which on they are one object;
            of a piece that is cut, the share of it that the other covers.

    Returns:
        Objects; one of several pieces has their highest score, and all of their pixels.
    """
    flat = [piece for own in pieces for piece in own]
    first = np.cumsum([0, *map(len, pieces)])
    groups = list(range(len(flat)))
    for (a, window), (b, other) in combinations(enumerate(windows), 2):
        common = in_both(window[:4], other[:4])
        if not _meet(window[:4], other[:4]):
            continue
        seen = (
            [n for n in range(first[x], first[x + 1]) if _meet(flat[n].extent, common)]
            for x in (a, b)
        )
        for n, m in product(*seen):
            cut = _is_cut(flat[n], window, other), _is_cut(flat[m], other, window)
            if _are_one(flat[n], flat[m], common, cut, lowest_iou):
                groups[_root(groups, m)] = _root(groups, n)
    members: dict[int, list[Piece]] = {}
    for number, piece in enumerate(flat):
        members.setdefault(_root(groups, number), []).append(piece)
    return sorted(map(_union, members.values()), key=lambda piece: -piece.score)


def _root(groups: list[int], number: int) -> int:
    while groups[number] != number:
        groups[number] = number = groups[groups[number]]
    return number


def _meet(first: Extent, second: Extent) -> bool:
    """Tell whether two extents have a pixel in common."""
    top, left, bottom, right = in_both(first, second)
    return bottom > top and right > left


def _is_cut(piece: Piece, own: Window, other: Window) -> bool:
    """Tell whether a piece ends at a border of its tile beyond which the other tile sees more."""
    top, left, bottom, right = piece.extent
    return (
        (top <= own.top and other.top < own.top)
        or (left <= own.left and other.left < own.left)
        or (bottom >= own.bottom and other.bottom > own.bottom)
        or (right >= own.right and other.right > own.right)
    )


def _are_one(
    first: Piece, second: Piece, common: Extent, are_cut: tuple[bool, bool], lowest_iou: float
) -> bool:
    if first.class_id != second.class_id or not _meet(first.extent, second.extent):
        return False
    window = in_both(_around([first.extent, second.extent]), common)
    a, b = first.part(window), second.part(window)
    both, areas = int(np.count_nonzero(a & b)), [int(np.count_nonzero(x)) for x in (a, b)]
    if both >= lowest_iou * (sum(areas) - both):
        return both > 0
    return any(
        is_cut and both >= lowest_iou * area > 0
        for is_cut, area in zip(are_cut, areas, strict=True)
    )


def _around(boxes: Iterable[tuple[T, T, T, T]]) -> tuple[T, T, T, T]:
    """Return what holds all boxes, or extents."""
    a, b, c, d = zip(*boxes, strict=True)
    return min(a), min(b), max(c), max(d)


def _union(pieces: Sequence[Piece]) -> Piece:
    if len(pieces) == 1:
        return pieces[0]
    window = _around(piece.extent for piece in pieces)
    mask = pieces[0].part(window)
    for piece in pieces[1:]:
        mask |= piece.part(window)
    best, box = max(pieces, key=lambda piece: piece.score), _around(piece.box for piece in pieces)
    return Piece(best.class_id, best.score, box, MaskCrop(mask, *window[:2]))
