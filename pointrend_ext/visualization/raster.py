"""Anti-aliased painting of polygons, plates and text, by OpenCV and Pillow.

OpenCV's own anti-aliased lines are one to three pixels wider than asked, and short segments darken
each other where they overlap. So polygons are drawn without anti-aliasing on a grid of up to
``_FINEST`` cells per pixel, whose means are the coverage of the pixels.
"""

from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pointrend_ext.visualization.canvas import blend

_FINEST = 8  # cells per pixel and axis,
_MOST_CELLS = 2**26  # fewer for objects of many megapixels
_FULL = (255,)
_SHIFT = 4  # fractional bits of OpenCV coordinates
_TEXT_FINER = 4  # Pillow moves letters to whole pixels, which small text shows
_GAMMA = 0.75  # without which small text fades
_CAP_SHARE = 0.7  # height of a capital letter in sizes of Pillow's own font

Color = np.ndarray | Sequence[int]
"""(3,) RGB in 0..255."""


def paint_fill(
    canvas: np.ndarray, polygons: Sequence[np.ndarray], color: Color, alpha: float
) -> None:
    """Blend the inside of closed polygons into ``canvas`` in place; holes stay open (even-odd).

    Args:
        canvas: (H, W, 3) uint8, RGB.
        polygons: (K, 2) float arrays, (x, y) in pixels of the canvas, in the frame of ``shapes``.
        color: (3,) RGB.
        alpha: opacity in [0, 1].
    """
    _paint(canvas, polygons, color, alpha, 0.0)


def paint_stroke(
    canvas: np.ndarray, polygons: Sequence[np.ndarray], color: Color, width_px: float
) -> None:
    """Draw the outlines of what ``paint_fill`` takes in place, half the width on either side.

    The full width in pixels of the canvas is met to within one cell of the grid; 0 draws nothing.
    """
    if width_px > 0:
        _paint(canvas, polygons, color, 1.0, width_px)


def rectangle(box_xyxy: np.ndarray | Sequence[float]) -> np.ndarray:
    """Return the corners (4, 2) of a box (left, top, right, bottom) as a polygon."""
    x0, y0, x1, y1 = box_xyxy
    return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], dtype=np.float64)


def text_width(text: str, cap_height_px: float) -> float:
    """Return the width in pixels of one line of text whose capitals are ``cap_height_px`` high."""
    return _font(cap_height_px).getlength(text) / _TEXT_FINER


def paint_text(
    canvas: np.ndarray,
    text: str,
    left_baseline_xy: tuple[float, float],
    cap_height_px: float,
    color: Color,
) -> None:
    """Write one line of ASCII text in place; what falls outside the canvas is cut off.

    Args:
        canvas: (H, W, 3) uint8, RGB.
        text: printable ASCII; Pillow's own font has little else.
        left_baseline_xy: left end of the baseline in pixels of the canvas.
        cap_height_px: height of a capital letter in pixels.
        color: (3,) RGB.
    """
    x, y = left_baseline_xy
    pad = int(cap_height_px) + 1
    left, top = int(x) - pad, int(y) - 2 * pad
    right, low = int(x + text_width(text, cap_height_px)) + pad, int(y) + pad
    fine = Image.new("L", ((right - left) * _TEXT_FINER, (low - top) * _TEXT_FINER))
    where = ((x - left) * _TEXT_FINER, (y - top) * _TEXT_FINER)
    ImageDraw.Draw(fine).text(where, text, 255, _font(cap_height_px), anchor="ls")
    coverage = (np.asarray(fine.reduce(_TEXT_FINER)) / 255) ** _GAMMA
    top_cut, left_cut = max(-top, 0), max(-left, 0)
    region = canvas[top + top_cut : max(low, 0), left + left_cut : max(right, 0)]
    rows, columns = region.shape[:2]
    blend(region, np.asarray(color), coverage[top_cut:, left_cut:][:rows, :columns])


@lru_cache(maxsize=64)
def _font(cap_height_px: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return the font for the finer grid on which letters keep their distances."""
    return ImageFont.load_default(max(cap_height_px / _CAP_SHARE, 1.0) * _TEXT_FINER)


def _paint(
    canvas: np.ndarray, polygons: Sequence[np.ndarray], color: Color, alpha: float, width_px: float
) -> None:
    """Blend a colour into ``canvas`` in place: outlines of a width, or the inside if that is 0."""
    if len(polygons) == 0:
        return
    points, limit, margin = np.concatenate(polygons), canvas.shape[1::-1], width_px / 2 + 1
    left, top = np.clip(np.floor(points.min(axis=0) - margin), 0, limit).astype(int).tolist()
    right, low = np.clip(np.ceil(points.max(axis=0) + margin), 0, limit).astype(int).tolist()
    width, height = right - left, low - top
    if width == 0 or height == 0:
        return
    cells = max(min(_FINEST, int((_MOST_CELLS / (width * height)) ** 0.5)), 1)
    grid = np.zeros((height * cells, width * cells), dtype=np.uint8)
    # OpenCV's whole coordinates are the centres of cells.
    fixed = [
        np.rint(((polygon - (left, top)) * cells - 0.5) * 2**_SHIFT).astype(np.int32)
        for polygon in polygons
    ]
    if width_px:
        # An even thickness comes out one cell wider, an odd one above 1 two cells.
        thickness = max(2 * round((cells * width_px - 1) / 2), 1)
        cv2.polylines(grid, fixed, True, _FULL, thickness, cv2.LINE_8, _SHIFT)
    else:
        cv2.fillPoly(grid, fixed, _FULL, cv2.LINE_8, _SHIFT)
    coverage = cv2.resize(grid, (width, height), interpolation=cv2.INTER_AREA)
    region, drawn = canvas[top:low, left:right], coverage > 0
    pixels = region[drawn]
    blend(pixels, np.asarray(color), coverage[drawn] * (alpha / 255))
    region[drawn] = pixels
