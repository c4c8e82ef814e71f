"""Objects of an image as drawing needs them: each mask only where the object is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pointrend_ext.visualization.contours import binarize, mask_contours, window_of

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
        masks: as ``draw_instances`` takes them.
        number: which one.
    """
    crop = masks.crop(number) if hasattr(masks, "crop") else MaskCrop(masks[number], 0, 0)
    inside = binarize(crop.values)
    y0, x0, y1, x1 = window_of(inside)
    inside = inside[y0:y1, x0:x1]
    top, left = crop.top + y0, crop.left + x0
    return Shape(
        top=top,
        left=left,
        height=y1 - y0,
        width=x1 - x0,
        area=int(np.count_nonzero(inside)),
        polygons=[polygon + (left, top) for polygon in mask_contours(inside)],
        bits=np.packbits(inside),
    )
