"""Objects of an image as drawing needs them; the one place that says where a mask's boundary lies.

Frame: absolute pixels (x, y), x to the right, y downwards. Pixel (row i, column j) covers [j, j+1)
x [i, i+1), its centre is (j + 0.5, i + 0.5), and an H x W mask spans [0, W] x [0, H]. The boundary
of a mask is the set of pixel edges between an inside and an outside pixel; everything beyond the
image is outside.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from pointrend_ext.visualization.mask_crop import MaskCrop, binarize, window_of

__all__ = ["MaskCrop", "Shape", "binarize", "mask_contours", "shape_of", "window_of"]


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
    """Read one of the masks that ``draw_instances`` takes."""
    crop = MaskCrop(*masks.crop(number) if hasattr(masks, "crop") else (masks[number], 0, 0))
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


def mask_contours(mask: np.ndarray) -> list[np.ndarray]:
    """Trace the closed boundary polygons of a mask, those of holes included.

    They join the midpoints of the pixel edges between inside and outside (marching squares): at
    most 0.36 px from the exact boundary and free of its staircase. Holes run the other way than
    outer boundaries; inside pixels that touch at a corner alone are joined.

    Args:
        mask: (H, W), as in ``binarize``.

    Returns:
        List of (K, 2) float64 polygons, (x, y) in pixels, not repeating the first point. Points on
        straight stretches are left out. Empty for an empty mask.
    """
    inside = binarize(mask)
    top, left, bottom, right = window_of(inside)
    if bottom == 0:
        return []
    # A grid of half pixels, on which pixel centres, the middles of edges and corners are points. A
    # point is inside when half of the pixels that touch it are, so that ``findContours``, which
    # follows the outermost inside points, meets the middles of the boundary's edges.
    window = np.pad(inside[top:bottom, left:right], 1).astype(np.uint8)
    quarters = window.repeat(2, axis=0).repeat(2, axis=1)
    touching = quarters[1:, 1:] + quarters[1:, :-1] + quarters[:-1, 1:] + quarters[:-1, :-1]
    points = (touching >= 2).astype(np.uint8)
    found, _ = cv2.findContours(points, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    return [(contour[:, 0] - 1) / 2 + (left, top) for contour in found]
