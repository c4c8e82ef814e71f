"""Objects of an image as drawing needs them: each mask only where the object is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pointrend_ext.visualization.contours import binarize, mask_contours

__all__ = ["MaskCrop", "Shape", "shape_of", "window_of"]


class MaskCrop(NamedTuple):
    """A mask without its empty surroundings.

    Attributes:
        values: (h, w), as ``mask_contours`` takes them; beyond them nothing is inside.
        top, left: where they begin, in pixels of the image.
    """

    values: np.ndarray
    top: int
    left: int


@dataclass(frozen=True)
class Shape:
    """An object of an image.

    Attributes:
        top, left, height, width: its bounding box in pixels; no height and no width if it is empty.
        area: number of its pixels.
        polygons: its outlines, see ``mask_contours``, in pixels of the image.
        bits: its pixels in the bounding box, packed, so that a hundred objects as large as an image
            of 12 megapixels fit into memory.
    """

    top: int
    left: int
    height: int
    width: int
    area: int
    polygons: list[np.ndarray]
    bits: np.ndarray

    @property
    def window(self) -> tuple[slice, slice]:
        """Rows and columns of the bounding box."""
        return np.s_[self.top : self.top + self.height, self.left : self.left + self.width]

    def inside(self) -> np.ndarray:
        """Return (height, width) bool: the pixels in the bounding box."""
        flat = np.unpackbits(self.bits, count=self.height * self.width)
        return flat.view(bool).reshape(self.height, self.width)


def shape_of(masks: np.ndarray | Sequence[np.ndarray], number: int) -> Shape:
    """Read one of several masks.

    Args:
        masks: (R, H, W), or a sequence of (H, W), as ``draw_instances`` takes them; one with
            ``crop(number)``, a ``MaskCrop``, and ``size_hw`` is never asked for whole masks.
        number: which one.
    """
    whole = not hasattr(masks, "crop")
    values, top, left = MaskCrop(masks[number], 0, 0) if whole else masks.crop(number)
    inside = binarize(values)
    y0, x0, y1, x1 = window_of(inside)
    inside = inside[y0:y1, x0:x1]
    # Outlines of probabilities also depend on the pixels around the object.
    outer_top, outer_left = max(y0 - 1, 0), max(x0 - 1, 0)
    around = values[outer_top : y1 + 1, outer_left : x1 + 1]
    shift = (left + outer_left, top + outer_top)
    return Shape(
        top=top + y0,
        left=left + x0,
        height=y1 - y0,
        width=x1 - x0,
        area=int(np.count_nonzero(inside)),
        polygons=[polygon + shift for polygon in mask_contours(around)],
        bits=np.packbits(inside),
    )


def window_of(inside: np.ndarray) -> tuple[int, int, int, int]:
    """Return top, left, bottom, right around all true pixels of (H, W) bool; zeros if none is."""
    rows = np.flatnonzero(inside.any(axis=1))
    if rows.size == 0:
        return 0, 0, 0, 0
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    columns = np.flatnonzero(inside[top:bottom].any(axis=0))
    return top, int(columns[0]), bottom, int(columns[-1]) + 1
