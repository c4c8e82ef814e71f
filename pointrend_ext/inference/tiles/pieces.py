"""Objects of tiles, joined where two tiles see the same one.

Two tiles have a strip in common. Objects of one class, one of each tile, are the same where their
masks agree in that strip: this holds for an object that lies in the strip, and is found twice, and
for one that a border cuts. Of an object with two arms, a tile may see the ends alone: a piece that
its border cuts belongs to the one that covers it in the strip.

Suppression of whole masks, as of SAHI (Akyon et al., ICIP 2022), would compare the halves of a cut
object, which hardly overlap.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pointrend_ext.inference.tiles.grid import Window


@dataclass(frozen=True, eq=False)
class Piece:
    """An object as tiles see it.

    Attributes:
        class_id: of its class.
        score: in [0, 1].
        box: left, top, right, bottom in pixels of the image.
        mask: (h, w) bool.
        top: row of the image where the mask begins.
        left: column, likewise.
    """

    class_id: int
    score: float
    box: tuple[float, float, float, float]
    mask: np.ndarray
    top: int
    left: int

    def part(self, rows_columns: tuple[int, int, int, int]) -> np.ndarray:
        """Return the pixels between top, left, bottom and right."""
        top, left, bottom, right = rows_columns
        found = np.zeros((bottom - top, right - left), bool)
        y0, x0 = max(top, self.top), max(left, self.left)
        y1 = min(bottom, self.top + self.mask.shape[0])
        x1 = min(right, self.left + self.mask.shape[1])
        if y1 > y0 and x1 > x0:
            own = self.mask[y0 - self.top : y1 - self.top, x0 - self.left : x1 - self.left]
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
    for a, window in enumerate(windows):
        for b in range(a + 1, len(windows)):
            top, left, bottom, right = common = window.common(windows[b])
            if bottom > top and right > left:
                own = [n for n in range(first[a], first[a + 1]) if _reaches(flat[n], common)]
                other = [n for n in range(first[b], first[b + 1]) if _reaches(flat[n], common)]
                for n in own:
                    for m in other:
                        cut = (
                            _is_cut(flat[n], window, windows[b]),
                            _is_cut(flat[m], windows[b], window),
                        )
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


def _meet(first: Piece, second: Piece) -> bool:
    """Tell whether the boxes of two masks have a pixel in common."""
    height, width = second.mask.shape
    box = second.top, second.left, second.top + height, second.left + width
    return _reaches(first, box)


def _reaches(piece: Piece, common: tuple[int, int, int, int]) -> bool:
    top, left, bottom, right = common
    height, width = piece.mask.shape
    return (
        piece.top < bottom
        and piece.top + height > top
        and piece.left < right
        and piece.left + width > left
    )


def _is_cut(piece: Piece, own: Window, other: Window) -> bool:
    """Tell whether a piece ends at a border of its tile beyond which the other tile sees more."""
    bottom, right = piece.top + piece.mask.shape[0], piece.left + piece.mask.shape[1]
    return (
        (piece.top <= own.top and other.top < own.top)
        or (piece.left <= own.left and other.left < own.left)
        or (bottom >= own.bottom and other.bottom > own.bottom)
        or (right >= own.right and other.right > own.right)
    )


def _are_one(
    first: Piece,
    second: Piece,
    common: tuple[int, int, int, int],
    are_cut: tuple[bool, bool],
    lowest_iou: float,
) -> bool:
    if first.class_id != second.class_id or not _meet(first, second):
        return False
    top, left, bottom, right = _bounds([first, second])
    y0, x0, y1, x1 = common
    window = max(top, y0), max(left, x0), min(bottom, y1), min(right, x1)
    a, b = first.part(window), second.part(window)
    both, areas = int(np.count_nonzero(a & b)), [int(np.count_nonzero(x)) for x in (a, b)]
    if both >= lowest_iou * (sum(areas) - both):
        return both > 0
    return any(
        is_cut and both >= lowest_iou * area > 0
        for is_cut, area in zip(are_cut, areas, strict=True)
    )


def _bounds(pieces: Sequence[Piece]) -> tuple[int, int, int, int]:
    return (
        min(p.top for p in pieces),
        min(p.left for p in pieces),
        max(p.top + p.mask.shape[0] for p in pieces),
        max(p.left + p.mask.shape[1] for p in pieces),
    )


def _union(pieces: Sequence[Piece]) -> Piece:
    if len(pieces) == 1:
        return pieces[0]
    window = _bounds(pieces)
    mask = pieces[0].part(window)
    for piece in pieces[1:]:
        mask |= piece.part(window)
    boxes = np.array([piece.box for piece in pieces])
    (x0, y0), (x1, y1) = boxes[:, :2].min(axis=0).tolist(), boxes[:, 2:].max(axis=0).tolist()
    best = max(pieces, key=lambda piece: piece.score)
    return Piece(best.class_id, best.score, (x0, y0, x1, y1), mask, window[0], window[1])
