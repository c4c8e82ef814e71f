"""Predictions of several models side by side, on whole images and zoomed on a boundary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pointrend_ext.visualization.colors import distinct_colors
from pointrend_ext.visualization.contours import binarize, mask_contours
from pointrend_ext.visualization.instances import (
    check_image,
    check_mask_size,
    default_contour_px,
    draw_instances,
    enlarge,
)
from pointrend_ext.visualization.panels import titled_columns
from pointrend_ext.visualization.raster import paint_fill, paint_stroke

_SAME_OBJECT_IOU = 0.3
_RIM = np.array([0, 0, 0], dtype=np.uint8)
_ACCENT = np.array([255, 220, 0], dtype=np.uint8)  # stands out on nearly every photograph
_REFERENCE = np.array([255, 255, 255], dtype=np.uint8)


class Column(NamedTuple):
    """One column of ``compare_panel``; a plain tuple of the same order does as well.

    Attributes:
        title: heading.
        masks: (R, H, W), as ``draw_instances`` takes them.
        boxes_px: (R, 4) or None.
        labels: R texts or None.
    """

    title: str
    masks: np.ndarray
    boxes_px: np.ndarray | None = None
    labels: Sequence[str] | None = None


def compare_panel(
    image_rgb: np.ndarray,
    columns: Sequence[Column | tuple],
    *,
    upscale: int = 1,
    title_px: int | None = None,
    gap_px: int = 6,
    **drawing: float,
) -> np.ndarray:
    """Draw several sets of instances over the same image, side by side at equal scale.

    An object has the same colour in every column: each mask takes the colour of the mask of the
    first column that it overlaps most (IoU 0.3 at least), others continue the colour sequence.

    Args:
        image_rgb: (H, W, 3) uint8.
        columns: (title, masks, boxes, labels) each.
        upscale: as in ``draw_instances``.
        title_px: height of the title bars in output pixels, 0 for none; None follows the size.
        gap_px: distance between columns in output pixels.
        drawing: passed on to ``draw_instances``: alpha, contour_px, text_px.

    Returns:
        (title_px + upscale * H, n * upscale * W + (n - 1) * gap_px, 3) uint8, RGB.

    Raises:
        ValueError: no columns, or sizes disagree.
    """
    if len(columns) == 0:
        raise ValueError("compare_panel: got no columns; give at least one.")
    check_image(image_rgb, "compare_panel")
    columns = [Column(*column) for column in columns]
    none = np.zeros((0, *image_rgb.shape[:2]), dtype=bool)
    first = np.asarray(columns[0].masks) if len(columns[0].masks) else none
    cells = []
    for column in columns:
        masks = np.asarray(column.masks) if len(column.masks) else none
        check_mask_size(image_rgb, masks.shape, f"compare_panel, column {column.title!r}")
        numbers = matching_numbers(first, masks)
        palette = distinct_colors(int(numbers.max(initial=-1)) + 1)
        cells.append(
            draw_instances(
                image_rgb,
                masks=masks,
                boxes_px=column.boxes_px,
                labels=column.labels,
                colors=palette[numbers],
                upscale=upscale,
                **drawing,
            )
        )
    titles = [column.title for column in columns]
    return titled_columns(titles, cells, bar_px=title_px, gap_px=gap_px)


def zoom_panel(
    image_rgb: np.ndarray,
    columns: Sequence[tuple[str, np.ndarray | None]],
    window_xyxy: Sequence[int],
    scale: int = 8,
    *,
    reference: np.ndarray | None = None,
    colors: np.ndarray | None = None,
    alpha: float = 0.0,
    contour_px: float | None = None,
    smooth: bool = True,
    title_px: int | None = None,
    gap_px: int = 6,
) -> np.ndarray:
    """Enlarge one window of the image and draw each mask's contour over it, side by side.

    Args:
        image_rgb: (H, W, 3) uint8.
        columns: (title, (H, W) mask as in ``mask_contours`` or None for the bare image) each.
        window_xyxy: left, top, right, bottom in whole pixels, inside the image.
        scale: output pixels per image pixel.
        reference: (H, W) mask drawn as a thinner white line below every contour, for instance the
            ground truth.
        colors: (n, 3) uint8 RGB, one per column; None draws all in yellow.
        alpha: opacity of a fill, 0 for none.
        contour_px: width of the contour in output pixels; None follows the cell size.
        smooth: interpolate the image; False shows its pixels.
        title_px: height of the title bars in output pixels, 0 for none; None follows the size.
        gap_px: distance between columns in output pixels.

    Returns:
        (title_px + scale * h, n * scale * w + (n - 1) * gap_px, 3) uint8, RGB, for a window of h x
        w pixels.

    Raises:
        ValueError: no columns, sizes disagree, or the window is not inside the image.
    """
    if len(columns) == 0:
        raise ValueError("zoom_panel: got no columns; give at least one.")
    check_image(image_rgb, "zoom_panel")
    x0, y0, x1, y1 = _checked_window(image_rgb, window_xyxy, "zoom_panel")
    background = enlarge(np.ascontiguousarray(image_rgb[y0:y1, x0:x1]), scale, smooth=smooth)
    if contour_px is None:
        contour_px = 1.7 * default_contour_px(*background.shape[:2])
    colors = [_ACCENT] * len(columns) if colors is None else colors

    def outline(mask: np.ndarray) -> list[np.ndarray]:
        check_mask_size(image_rgb, np.shape(mask), "zoom_panel")
        return [scale * (polygon - (x0, y0)) for polygon in mask_contours(mask)]

    if reference is not None:
        _paint_outlined(background, outline(reference), _REFERENCE, 0.6 * contour_px)
    cells = []
    for (_, mask), color in zip(columns, colors, strict=True):
        cell = background.copy()
        if mask is not None:
            polygons = outline(mask)
            paint_fill(cell, polygons, color, alpha)
            _paint_outlined(cell, polygons, color, contour_px)
        cells.append(cell)
    return titled_columns([title for title, _ in columns], cells, bar_px=title_px, gap_px=gap_px)


def mark_window(
    image_rgb: np.ndarray,
    window_xyxy: Sequence[int],
    *,
    scale: int = 1,
    color: tuple[int, int, int] = (255, 255, 255),
    width_px: float | None = None,
) -> np.ndarray:
    """Frame a window on a picture, to show where a zoom was taken.

    Args:
        image_rgb: (H, W, 3) uint8, not changed.
        window_xyxy: left, top, right, bottom in pixels.
        scale: picture pixels per window pixel: the ``upscale`` that the picture was drawn with.
        color: RGB of the frame; a dark rim keeps it visible everywhere.
        width_px: width in pixels of the picture; None follows its size.

    Returns:
        (H, W, 3) uint8.
    """
    x0, y0, x1, y1 = (scale * v for v in window_xyxy)
    frame = [np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], dtype=np.float64)]
    width = default_contour_px(*image_rgb.shape[:2]) if width_px is None else width_px
    canvas = image_rgb.copy()
    _paint_outlined(canvas, frame, np.array(color), width)
    return canvas


def matching_numbers(first: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Number masks so that objects seen in another set of masks keep that set's numbers.

    Args:
        first: (R, H, W) masks, numbered 0 to R-1.
        masks: (S, H, W) masks.

    Returns:
        (S,) int64: pairs are made greedily by descending IoU (0.3 at least); masks without partner
        get R, R+1, ...
    """
    pixels = int(np.prod(first.shape[1:]))
    a = binarize(first).reshape(len(first), pixels).astype(np.float32)
    b = binarize(masks).reshape(len(masks), pixels).astype(np.float32)
    shared = a @ b.T
    union = a.sum(axis=1)[:, None] + b.sum(axis=1)[None] - shared
    iou = shared / np.maximum(union, 1)
    numbers = np.full(len(b), -1, dtype=np.int64)
    for pair in np.argsort(-iou, axis=None, kind="stable"):
        i, j = divmod(int(pair), len(b))
        if iou[i, j] < _SAME_OBJECT_IOU:
            break
        if numbers[j] < 0 and i not in numbers:
            numbers[j] = i
    left_over = np.flatnonzero(numbers < 0)
    numbers[left_over] = len(a) + np.arange(len(left_over))
    return numbers


def _paint_outlined(
    canvas: np.ndarray, polygons: Sequence[np.ndarray], color: np.ndarray, width_px: float
) -> None:
    """Draw a line with a dark rim of a quarter of its width, visible on any background."""
    paint_stroke(canvas, polygons, _RIM, 1.5 * width_px)
    paint_stroke(canvas, polygons, color, width_px)


def _checked_window(
    image_rgb: np.ndarray, window_xyxy: Sequence[int], who: str
) -> tuple[int, int, int, int]:
    x0, y0, x1, y1 = (int(v) for v in window_xyxy)
    height, width = image_rgb.shape[:2]
    if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
        raise ValueError(
            f"{who}: the window {(x0, y0, x1, y1)} (left, top, right, bottom) does not lie inside "
            f"the image of {height} x {width} (height x width)."
        )
    return x0, y0, x1, y1
