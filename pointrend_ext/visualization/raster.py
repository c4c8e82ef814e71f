"""Anti-aliased painting of polygons, strokes and text, by coverage on a finer grid.

OpenCV's own thick anti-aliased lines are wider than asked, and short segments darken each other
where they overlap. Here a stroke is the set of points within half its width of the polyline,
measured with a distance transform on a grid ``_FINE`` times finer, so fractional widths come out as
asked. Work is done in tiles, and only near what is drawn: neither memory nor time grow with the
image.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import cv2
import numpy as np

_FINE = 4  # sub-samples per pixel and axis
_TILE = 256  # pixels that are drawn on at once,
_BLOCK = 32  # and blended at once, if anything is drawn there
_SHIFT = 4  # fractional bits of OpenCV coordinates
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_CAP_HEIGHT = 21  # height of capitals of this font at scale 1, in its own units


def paint_fill(
    canvas: np.ndarray, polygons: Sequence[np.ndarray], color: np.ndarray, alpha: float
) -> None:
    """Blend the inside of closed polygons into ``canvas`` in place; holes stay open (even-odd).

    Args:
        canvas: (H, W, 3) uint8, RGB.
        polygons: (K, 2) float arrays, (x, y) in pixels of the canvas; see ``contours`` for the
            frame.
        color: (3,) uint8, RGB.
        alpha: opacity in [0, 1].
    """

    def mark(grid: np.ndarray, fine: list[np.ndarray]) -> None:
        cv2.fillPoly(grid, fine, 2, cv2.LINE_8, _SHIFT)  # this includes the outline,
        cv2.polylines(grid, fine, True, 1, 1, cv2.LINE_8, _SHIFT)  # of which half is inside

    def coverage(grid: np.ndarray) -> np.ndarray:
        return np.clip(_cell_means(grid) - 0.5, 0, 1)

    _paint(canvas, polygons, color, alpha, 0.0, mark, coverage)


def paint_stroke(
    canvas: np.ndarray, polygons: Sequence[np.ndarray], color: np.ndarray, width_px: float
) -> None:
    """Draw the outlines of closed polygons into ``canvas`` in place, half the width on either side.

    Args:
        canvas: (H, W, 3) uint8, RGB.
        polygons: (K, 2) float arrays, (x, y) in pixels of the canvas; see ``contours`` for the
            frame.
        color: (3,) uint8, RGB.
        width_px: full width of the line in pixels of the canvas; 0 draws nothing.
    """
    if width_px <= 0:
        return
    radius = width_px / 2 * _FINE

    def mark(grid: np.ndarray, fine: list[np.ndarray]) -> None:
        cv2.polylines(grid, fine, True, 1, 1, cv2.LINE_8, _SHIFT)

    def coverage(grid: np.ndarray) -> np.ndarray:
        distance = cv2.distanceTransform(1 - grid, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        return np.clip(radius + 0.5 - _cell_means(distance), 0, 1)

    _paint(canvas, polygons, color, 1.0, width_px / 2 + 1, mark, coverage)


def paint_rectangle(
    canvas: np.ndarray, box_xyxy: Sequence[float], color: np.ndarray, *, radius_px: float = 0.0
) -> None:
    """Fill an axis-parallel rectangle, its corners rounded, in place.

    Args:
        canvas: (H, W, 3) uint8, RGB.
        box_xyxy: left, top, right, bottom in pixels of the canvas.
        color: (3,) uint8, RGB.
        radius_px: corner radius in pixels.
    """
    x0, y0, x1, y1 = box_xyxy
    radius = min(radius_px, (x1 - x0) / 2, (y1 - y0) / 2)
    quarter = np.linspace(0, np.pi / 2, 9)
    corners = [(x1, y1, -1, -1), (x0, y1, 1, -1), (x0, y0, 1, 1), (x1, y0, -1, 1)]
    outline = [
        np.stack(
            [
                x + radius * (sx + np.cos(quarter + turn * np.pi / 2)),
                y + radius * (sy + np.sin(quarter + turn * np.pi / 2)),
            ],
            axis=1,
        )
        for turn, (x, y, sx, sy) in enumerate(corners)
    ]
    paint_fill(canvas, [np.concatenate(outline)], color, 1.0)


def text_width(text: str, cap_height_px: float) -> float:
    """Return the width in pixels of one line of text whose capitals are ``cap_height_px`` high."""
    scale = cap_height_px / _CAP_HEIGHT
    (units, _), _ = cv2.getTextSize(text, _FONT, 1.0, 1)
    return units * scale


def paint_text(
    canvas: np.ndarray,
    text: str,
    left_baseline_xy: tuple[float, float],
    cap_height_px: float,
    color: np.ndarray,
) -> None:
    """Write one line of ASCII text in place; what falls outside the canvas is cut off.

    Args:
        canvas: (H, W, 3) uint8, RGB.
        text: characters other than printable ASCII appear as question marks (a limit of OpenCV's
            font).
        left_baseline_xy: left end of the baseline in pixels of the canvas.
        cap_height_px: height of a capital letter in pixels.
        color: (3,) uint8, RGB.
    """
    pad = int(np.ceil(cap_height_px)) + 1
    x, y = left_baseline_xy
    x0, y0 = int(np.floor(x)) - pad, int(np.floor(y)) - 2 * pad
    x1, y1 = int(np.ceil(x + text_width(text, cap_height_px))) + pad, int(np.ceil(y)) + pad
    grid = np.zeros(((y1 - y0) * _FINE, (x1 - x0) * _FINE), dtype=np.uint8)
    origin = (round((x - x0) * _FINE), round((y - y0) * _FINE))
    # OpenCV draws about two pixels more; thinner lines fade in small text.
    thickness = max(2, round(cap_height_px * _FINE / 7) - 2)
    cv2.putText(
        grid, text, origin, _FONT, cap_height_px * _FINE / _CAP_HEIGHT, 255, thickness, cv2.LINE_8
    )
    coverage = cv2.resize(grid, (x1 - x0, y1 - y0), interpolation=cv2.INTER_AREA)
    height, width = canvas.shape[:2]
    cx0, cy0, cx1, cy1 = max(x0, 0), max(y0, 0), min(x1, width), min(y1, height)
    if cx0 < cx1 and cy0 < cy1:
        part = coverage[cy0 - y0 : cy1 - y0, cx0 - x0 : cx1 - x0]
        blend(canvas[cy0:cy1, cx0:cx1], color, part.astype(np.float32) / 255)


def blend(region: np.ndarray, color: np.ndarray, opacity: np.ndarray | float) -> None:
    """Set ``region`` in place to ``round((1 - opacity) * region + opacity * color)``.

    Args:
        region: (h, w, 3) uint8 view, or (K, 3).
        color: (3,) uint8, RGB.
        opacity: [0, 1]; a number, or an array of the region's shape without its last axis.
    """
    weight = np.asarray(opacity, dtype=np.float32)[..., None]
    mixed = region * (1 - weight) + np.asarray(color, dtype=np.float32) * weight
    region[...] = np.rint(mixed).astype(np.uint8)


def _cell_means(corners: np.ndarray) -> np.ndarray:
    """Return (h - 1, w - 1) float32 means of the four corners of every cell of a grid (h, w)."""
    rows = corners[:-1].astype(np.float32) + corners[1:]
    return (rows[:, :-1] + rows[:, 1:]) / 4


def _paint(
    canvas: np.ndarray,
    polygons: Sequence[np.ndarray],
    color: np.ndarray,
    alpha: float,
    margin_px: float,
    mark: Callable[[np.ndarray, list[np.ndarray]], None],
    coverage: Callable[[np.ndarray], np.ndarray],
) -> None:
    """Blend a colour into ``canvas``, tile by tile.

    Args:
        canvas: (H, W, 3) uint8, RGB, changed in place.
        polygons: (K, 2) float arrays in pixels of the canvas.
        color: (3,) uint8, RGB.
        alpha: opacity in [0, 1].
        margin_px: how far the drawing reaches beyond the polygons.
        mark: draws polygons in fixed-point coordinates into a fine grid of zeros, in place.
        coverage: from a part of that grid to the coverage of its cells, one fewer each way; zero
            farther than the margin from any mark.
    """
    if len(polygons) == 0:
        return
    height, width = canvas.shape[:2]
    points = np.concatenate(polygons)
    low = np.floor(points.min(axis=0) - margin_px).astype(int)
    high = np.ceil(points.max(axis=0) + margin_px).astype(int)
    margin = int(np.ceil(margin_px))
    for top in range(max(low[1], 0), min(high[1], height), _TILE):
        for left in range(max(low[0], 0), min(high[0], width), _TILE):
            rows = min(_TILE, min(high[1], height) - top)
            columns = min(_TILE, min(high[0], width) - left)
            origin = np.array([left - margin, top - margin])
            # OpenCV's whole coordinates are the corners of our fine cells, so that a line along
            # pixel edges lies exactly there; cells take the mean of their corners.
            fine = [np.rint((p - origin) * _FINE * 2**_SHIFT).astype(np.int32) for p in polygons]
            size = ((rows + 2 * margin) * _FINE + 1, (columns + 2 * margin) * _FINE + 1)
            grid = np.zeros(size, dtype=np.uint8)
            mark(grid, fine)
            if not grid.any():
                continue
            region = canvas[top : top + rows, left : left + columns]
            for block, part in _marked_blocks(region, grid, margin):
                cells = coverage(part)[margin * _FINE :, margin * _FINE :]
                rows, columns = block.shape[:2]
                cells = cells[: rows * _FINE, : columns * _FINE]
                cells = cv2.resize(cells, (columns, rows), interpolation=cv2.INTER_AREA)
                blend(block, color, alpha * cells)


def _marked_blocks(
    region: np.ndarray, grid: np.ndarray, margin: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield blocks of a tile near anything drawn, and their parts of its fine grid with margins."""
    height, width = region.shape[:2]
    for y in range(0, height, _BLOCK):
        for x in range(0, width, _BLOCK):
            block = region[y : y + _BLOCK, x : x + _BLOCK]
            rows, columns = ((side + 2 * margin) * _FINE + 1 for side in block.shape[:2])
            part = grid[y * _FINE :, x * _FINE :][:rows, :columns]
            if cv2.countNonZero(part):
                yield block, part
